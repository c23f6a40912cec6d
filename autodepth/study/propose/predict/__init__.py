"""What is known of a policy before it is carried out: its costs, its accuracy, its worth."""
