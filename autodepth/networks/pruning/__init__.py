"""Smaller networks: narrower branches, and weights set to zero."""
