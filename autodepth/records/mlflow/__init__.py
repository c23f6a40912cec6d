"""MLflow as a projection of the ledger, and its model registry."""
