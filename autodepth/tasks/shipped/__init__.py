"""Tasks that a space file may name without code of one's own."""
