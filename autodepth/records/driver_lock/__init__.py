"""Who drives a study: its lock, the heartbeat in it, and requests to that process."""
