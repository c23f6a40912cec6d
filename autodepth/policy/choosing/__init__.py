"""Choosing what is done to each branch: by a search over sets, or by what single ones are worth."""
