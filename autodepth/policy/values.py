"""Plain values, as a space file holds them and as a message shows them."""

from __future__ import annotations

import math
from typing import TypeAlias

Scalar: TypeAlias = float | int | str | bool | None

_SHOWN_CHARACTERS = 60


def is_number(value: object) -> bool:
    """Return whether the value is a finite int or float; YAML's true and false are not numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: object) -> bool:
    """Return whether the value is an int; 3.0 is not."""
    return isinstance(value, int) and not isinstance(value, bool)


def shown(value: object) -> str:
    """Return a value as YAML spells it, on one line and cut to a readable length."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    words = {"None": "null", "True": "true", "False": "false", "inf": ".inf", "nan": ".nan"}
    text = repr(value) if isinstance(value, str) else words.get(repr(value), repr(value))
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."
