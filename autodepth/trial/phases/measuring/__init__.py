"""What a network that will not change any more costs and comes to, as it is and in eight bits."""
