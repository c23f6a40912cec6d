"""A study from its plan to its front: what comes next, stops and confirms. Read `run.py` first."""
