"""Figures, drawn from plain values."""
