"""Bars for long work, on stderr: a line each while it goes on, nothing where no terminal is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from autodepth.long_work import Advance

if TYPE_CHECKING:
    from rich.progress import Progress

_LOOKS_PER_SECOND = 2  # what is timed meanwhile is hardly disturbed
_WIDTH = 30  # as the bar of a budget


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
        from rich import progress  # noqa: PLC0415 - most commands show none
        from rich.console import Console  # noqa: PLC0415

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
