"""The phases of a trial: training the parent, scoring, pruning, fine-tuning, measuring."""
