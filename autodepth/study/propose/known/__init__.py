"""What is known of parents, members and networks by now."""
