"""Running code of others without leaving marks in it."""
