"""Images as people keep them: folders, arrays, known data sets."""
