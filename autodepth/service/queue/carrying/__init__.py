"""One work carried out: by which process, which command, on which share of the machine."""
