"""Which results matter: dominance, the Pareto front, its hypervolume, choosing a point."""
