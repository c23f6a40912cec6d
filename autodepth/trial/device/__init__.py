"""Where a trial computes: devices, threads, memory, latency."""
