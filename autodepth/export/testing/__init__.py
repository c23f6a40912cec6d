"""Opening the test split: the right images, the right classes, counted."""
