"""One policy in, one result out. Read `run_trial.py` first."""
