"""The sections of a space file as pydantic models."""
