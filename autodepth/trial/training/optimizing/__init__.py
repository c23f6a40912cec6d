"""How the weights move: the optimizer, its rate, the norms of gradients, means over steps."""
