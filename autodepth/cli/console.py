"""Printing: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from typing import Any, TextIO

_for_json: ContextVar[TextIO | None] = ContextVar("for_json", default=None)


def say(text: str) -> None:
    """Print a line for a person, on stderr."""
    print(text, file=sys.stderr, flush=True)


def give(text: str) -> None:
    """Print a result, on stdout."""
    print(text, flush=True)


def give_json(value: Any, *, in_a_line: bool = False) -> None:
    """Print a result for a script, on stdout."""
    text = json.dumps(value, indent=None if in_a_line else 2)
    print(text, file=_for_json.get() or sys.stdout, flush=True)


@contextmanager
def only_json() -> Iterator[None]:
    """Keep stdout for `give_json`; whatever else is printed inside goes to stderr.

    A library or a network that code of one's own builds may print too, and a script could then
    not read what it asked for.
    """
    token = _for_json.set(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _for_json.reset(token)
