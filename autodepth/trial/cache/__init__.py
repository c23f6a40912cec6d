"""Phases that were carried out before, found again by their content."""
