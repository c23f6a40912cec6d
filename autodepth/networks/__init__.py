"""Networks one can thin out: the catalogue, residual branches, gates, removal and cost."""
