"""Networks in other runtimes than PyTorch: as files, opened, and timed."""
