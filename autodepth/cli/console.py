"""Printing: results on stdout; everything else, bars of long work too, on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO

from autodepth.long_work import Advance

if TYPE_CHECKING:
    from rich.progress import Progress

_LOOKS_PER_SECOND = 2  # what is timed meanwhile is hardly disturbed
_WIDTH = 30  # as the bar of a budget
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


class Bars:
    """Shows long work on the terminal that stderr is; `show` is an `autodepth.long_work.Show`."""

    @contextmanager
    def show(self, what: str, steps: int | None) -> Iterator[Advance]:
        """Show work while entered; bars of work within work stand below each other."""
        bars = self._bars
        if not bars.console.is_terminal:
            yield lambda _: None
            return
        bar = bars.add_task(what, total=steps)
        bars.start()
        try:
            yield lambda count: bars.advance(bar, count)
        finally:
            if len(bars.tasks) == 1:  # while it is drawn: a bar that is gone leaves an empty line
                bars.stop()
            bars.remove_task(bar)

    @cached_property
    def _bars(self) -> Progress:
        from rich import progress
        from rich.console import Console

        return progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(_WIDTH),
            progress.TaskProgressColumn(),
            progress.TimeElapsedColumn(),
            console=Console(stderr=True),
            refresh_per_second=_LOOKS_PER_SECOND,
            transient=True,
            redirect_stdout=False,  # results go where they are sent
        )
