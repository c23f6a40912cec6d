"""What may be searched, read from a space file. No torch here."""
