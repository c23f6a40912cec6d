"""Publish an exported network: in MLflow's registry, on the Hugging Face hub."""
