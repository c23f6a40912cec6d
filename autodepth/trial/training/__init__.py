"""Training with stochastic depth: the loop behind parents and fine-tuning alike."""
