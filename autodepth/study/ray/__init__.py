"""Carrying trials out on Ray, through Ray Tune."""
