"""What a network costs: multiply-accumulates and parameters, counted one way."""
