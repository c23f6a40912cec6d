"""Reading space files: every mistake at once, each with its line and column."""
