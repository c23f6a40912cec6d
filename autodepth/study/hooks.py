"""What runners ask the driver, and tell it: all that passes between the two."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from autodepth.trial.carry_out import TrialOutcome, TrialTask
from autodepth.trial.result import EpochReport

Nothing = Literal["wait", "done"]
"""Why there is no task: one may come once something that runs has ended, or none ever will."""


@dataclass(frozen=True, kw_only=True)
class TrialReport:
    """What a running trial reports at one moment.

    Args:
        restarted: why it began anew, so that its earlier epochs do not count; empty if it did not.
        epochs: those that ended since its last report, after a restart if there was one.
        node: address of the cluster's node that it runs on; empty where that is known.
    """

    restarted: str = ""
    epochs: Sequence[EpochReport] = ()
    node: str = ""


class TrialHooks(Protocol):
    """The driver of a study as its runner sees it.

    A runner asks for the next trial while a place is free, passes reports on, and says once how
    each trial ended. It decides nothing; reports about trials that have ended are ignored.
    """

    def reserved(self) -> AbstractContextManager[None]:
        """Charge the study's devices from the first trial in the block until it is left."""

    def next(self) -> TrialTask | Nothing:
        """Return the next trial, entered as running; else whether to ask again."""

    def on_report(self, number: int, report: TrialReport) -> bool:
        """Take in a report; return whether the trial has to stop now."""

    def on_end(self, number: int, outcome: TrialOutcome | None = None) -> None:
        """Take in how a trial ended; None where it was stopped because `on_report` said so."""

    def on_standstill(self, numbers: Sequence[int], seconds: float) -> None:
        """Charge nobody for the seconds in which workers of these trials were suspended."""

    def tick(self) -> bool:
        """Do what is due, a few times a second; return whether all trials have to stop at once."""
