"""Answers for bounds that a study was not asked for, from what it knows already."""
