"""Stochastic depth on a traced network: gates that skip, and their folding."""
