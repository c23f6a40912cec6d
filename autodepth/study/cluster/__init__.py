"""A Ray cluster as the place of a study: connecting, nodes, files shipped to them."""
