"""What a person sees while a study runs: a live view on a terminal, plain lines otherwise."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from autodepth.cli.tables import front_plot, front_table
from autodepth.front.selection import best_first
from autodepth.records.trial_record import TrialRecord
from autodepth.report.wording import shorten
from autodepth.study.driver.driver import StudyDriver
from autodepth.trial.result import TrialState
from autodepth.units import format_device_time, format_duration, format_macs

_LOOKS_PER_SECOND = 2
_FRONT_ROWS, _RUNNING_ROWS = 8, 3  # of 24 lines


@contextmanager
def watching(driver: StudyDriver) -> Iterator[None]:
    """Show progress on stderr inside the block."""
    console = Console(stderr=True)
    view = _View(driver)
    if console.is_terminal:
        with Live(
            get_renderable=view.render,
            console=console,
            refresh_per_second=_LOOKS_PER_SECOND,
            transient=True,
        ):
            yield
        return
    done = threading.Event()
    earlier = {record.number for record in view.trials() if record.state.ended}
    thread = threading.Thread(target=_print_lines, args=(view, console, done, earlier), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class _View:
    """Reads the ledger; draws anew only when a trial has ended since."""

    def __init__(self, driver: StudyDriver) -> None:
        self.plan = driver.ledger.study.plan
        self.driver = driver
        self._ended = -1
        self._body: list[RenderableType] = []

    def trials(self) -> list[TrialRecord]:
        """Return every trial the ledger has."""
        return self.driver.ledger.trials()

    def share(self, records: list[TrialRecord]) -> float:
        """Return the progress in [0, 1]: of the budget, or of the confirmations asked for."""
        asked = self.driver.asked
        if asked is None:
            return self.driver.meter.share_spent
        ended = sum(record.about in asked and record.state.ended for record in records)
        return min(1.0, ended / max(1, sum(asked.values())))

    def render(self) -> RenderableType:
        """Return the whole view."""
        records = self.trials()
        states = Counter(record.state for record in records)
        ended = sum(count for state, count in states.items() if state.ended)
        if ended != self._ended:
            self._ended = ended
            self._body = self._front(records)
        running = [r for r in records if not r.state.ended][:_RUNNING_ROWS]
        return Group(self._head(states, records), *map(self._running, running), *self._body)

    def _running(self, record: TrialRecord) -> RenderableType:
        """Describe the progress of a trial."""
        epochs = self.driver.ledger.epochs(record.number)
        told = f"trial {record.number}{_asked(record)}"
        if not epochs:
            return Text(f"{told}: starting", style="dim", no_wrap=True)
        last = epochs[-1]
        phase = last.phase.replace("_", "-")
        return Text(
            f"{told}: {phase}, epoch {last.step}, {last.shown()}",
            style="dim", no_wrap=True,
        )  # fmt: skip

    def _head(self, states: Counter[TrialState], records: list[TrialRecord]) -> RenderableType:
        meter = self.driver.meter
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(self.driver.folder.name, style="bold", overflow="ellipsis", no_wrap=True),
            f"{self.plan['network']['name']} on {self.plan['data']['name']}",
        )
        left = meter.seconds_left
        spent = format_device_time(meter.spent, meter.device)
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            ProgressBar(total=1.0, completed=self.share(records), width=30),
            f"{spent} spent, "
            + (
                f"{format_duration(max(left, 0))} left" if left != float("inf") else "no time limit"
            ),
        )
        counts = "  ".join(
            f"{states[state]} {state}" for state in TrialState if states[state] or state in _ALWAYS
        )
        return Group(head, bar, Text(counts))

    def _front(self, records: list[TrialRecord]) -> list[RenderableType]:
        front = self.driver.ledger.front()
        if not front:
            return [Text("no trial is complete yet", style="dim")]
        members = {point.trial for point in front}
        others = [
            r.result.point
            for r in records
            if r.result is not None and r.of_search and r.number not in members
        ]
        return [
            front_plot(front, others, colour=True),
            front_table(best_first(front), self.plan["unpruned"]["macs"], rows=_FRONT_ROWS),
        ]


_ALWAYS = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.FAILED)


def _print_lines(view: _View, console: Console, done: threading.Event, printed: set[int]) -> None:
    """Print one line per trial that ended, until told to stop and all are printed."""
    finished = False
    while not finished:
        finished = done.wait(1 / _LOOKS_PER_SECOND)
        records = view.trials()
        for record in records:
            if record.state.ended and record.number not in printed:
                printed.add(record.number)
                line = _line(record, view, view.share(records))
                console.print(line, highlight=False, soft_wrap=True)


def _asked(record: TrialRecord) -> str:
    """Describe a confirmation or a control; these never join the front themselves."""
    if record.of_search:
        return ""
    if record.kind == "confirm":
        return f" (trial {record.about} on fresh seeds)"
    return f" ({record.role.replace('_', ' ')} beside trial {record.about})"


def _line(record: TrialRecord, view: _View, done: float) -> str:
    share = f"{done:.0%} of {'the budget' if view.driver.asked is None else 'what was asked for'}"
    start = f"trial {record.number}{_asked(record)} {record.state}"
    if record.result is None:
        return f"{start}: {record.reason} ({share})"
    point = record.result.point
    return (
        f"{start}: {point.shown()} at {format_macs(point.macs)} MACs, "
        f"removed {shorten(record.result.removed)}, {record.device_seconds:.1f} s ({share})"
    )
