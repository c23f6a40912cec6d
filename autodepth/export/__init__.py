"""The selected result as files that load without the study."""
