"""Commands that search, and that steer a search."""
