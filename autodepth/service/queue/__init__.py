"""A queue of searches that outlives its server: what waits, what runs, and whose it is."""
