"""One search, from what a person says to a front; going on with it, confirming it."""
