"""What is learned: batches, loss, metrics; classification is one task of several."""
