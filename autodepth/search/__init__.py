"""A study: many trials within a budget."""
