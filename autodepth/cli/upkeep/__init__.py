"""Commands that look after this machine, its studies and its cache."""
