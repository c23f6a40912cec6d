"""Printing: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from typing import Any


def say(text: str) -> None:
    """Print a line for a person, on stderr."""
    print(text, file=sys.stderr, flush=True)


def give(text: str) -> None:
    """Print a result, on stdout."""
    print(text, flush=True)


def give_json(value: Any) -> None:
    """Print a result for a script, on stdout."""
    give(json.dumps(value, indent=2))
