"""One policy by itself: carried out without a search, from scratch beside it, or by hand."""
