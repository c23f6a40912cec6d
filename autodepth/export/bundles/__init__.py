"""The folder that an exported network lives in: its description, checksums and card."""
