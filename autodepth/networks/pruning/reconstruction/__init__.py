"""Features of the whole network, given back to a smaller one without labels or gradients."""
