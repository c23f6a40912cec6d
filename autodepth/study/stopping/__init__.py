"""When a trial stops early, and when a study does."""
