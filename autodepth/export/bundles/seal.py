"""JSON files that carry the SHA-256 of their own content.

A seal tells damage and careless edits, not forgery: whoever edits on purpose can seal again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autodepth.errors import BundleError

_SEAL = "sha256"


def to_json(values: Mapping[str, Any]) -> str:
    """Return values the way every JSON file of a bundle is written."""
    return json.dumps(values, indent=2) + "\n"


def sealed(values: Mapping[str, Any]) -> str:
    """Return values as JSON, the SHA-256 of that JSON under `sha256` at its end."""
    digest = hashlib.sha256(to_json(values).encode()).hexdigest()
    return to_json({**values, _SEAL: digest})


def read_sealed(path: Path) -> dict[str, Any]:
    """Return what `sealed` wrote.

    Raises:
        BundleError: a byte of the file is another one, or it was never sealed.
        OSError: there is no such file.
    """
    try:
        text = path.read_bytes().decode()
        values = json.loads(text)
        values.pop(_SEAL)
        unaltered = text == sealed(values)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        unaltered = False
    if not unaltered:
        raise BundleError(f"{path} was altered: its content does not give the SHA-256 at its end")
    return dict(values)
