"""The file formats of an export, each written and run."""
