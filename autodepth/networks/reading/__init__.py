"""Reading a network, with the proof that what was read is what was given."""
