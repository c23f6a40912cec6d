"""What a study's records say beyond their rows: comparison, importance, confirmation."""
