"""An exported network where others find it: MLflow's registry, the Hugging Face hub."""
