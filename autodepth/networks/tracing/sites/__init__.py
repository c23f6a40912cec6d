"""Finding the residual branches in a graph."""
