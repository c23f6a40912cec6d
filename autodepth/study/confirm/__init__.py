"""Whether the front holds on fresh seeds, beside its controls."""
