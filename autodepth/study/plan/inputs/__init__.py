"""What a plan is made from: the space as its network has it, the examples, the network."""
