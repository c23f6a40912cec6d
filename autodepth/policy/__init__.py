"""One point of the search space, with meaning. Pure Python: no torch here."""
