"""Data sets, their fixed splits, and batches on the device. Start with `load.load_data`."""
