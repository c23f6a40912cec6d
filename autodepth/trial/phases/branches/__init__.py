"""What the branches of a trained network are worth, one by one and together."""
