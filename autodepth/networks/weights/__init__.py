"""Weights in files: of autodepth's own, and as training scripts leave them."""
