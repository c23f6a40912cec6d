"""From what a person asks for to a study that can run: resources, budget, times."""
