"""Figures and pages over records and fronts."""
