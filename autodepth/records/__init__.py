"""What happened, kept: the ledger is the truth, MLflow a projection of it."""
