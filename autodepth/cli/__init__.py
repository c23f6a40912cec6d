"""The command line: one thin file per group of commands. Results on stdout, the rest on stderr."""
