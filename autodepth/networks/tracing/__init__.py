"""A network as a graph, in training and evaluation alike."""
