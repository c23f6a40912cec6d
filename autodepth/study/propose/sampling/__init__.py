"""Points suggested by Optuna."""
