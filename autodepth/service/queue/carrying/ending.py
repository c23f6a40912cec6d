"""What becomes of a work when an attempt at it has ended."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from autodepth.errors import StudyError
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.records.trial_record import INTERRUPTED
from autodepth.service.queue.work import State, Work

NO_RAY = os.EX_UNAVAILABLE
"""Exit status of a command whose local Ray did not start."""
_MOST_ATTEMPTS = 20
_MOST_IN_VAIN = 5  # in a row; Ray gives its parts half a minute each time
_STOPPED = "it was stopped"
_SEARCHES = ("search", "resume")
_BY_SIGNAL = 128  # exit statuses from here on


def what_becomes_of(
    work: Work,
    status: int | None,
    outcome: str | None,
    last_words: Callable[[], str],
    in_vain: int = 0,
) -> tuple[State, str | None]:
    """Return the state of a work after an attempt, and why in words.

    Args:
        work: as it was while the attempt ran.
        status: the attempt's exit status; None where its process died.
        outcome: as `outcome_of_work` tells it.
        last_words: returns what the attempt said at its end.
        in_vain: how many attempts in a row, this one included, ended with `NO_RAY`.
    """
    lost = status is None or status >= _BY_SIGNAL or status == NO_RAY
    asked_to_end = outcome == INTERRUPTED and status in {0, 1}
    if work.wanted != "run" and (lost or asked_to_end):
        return ("paused", "it was paused") if work.wanted == "pause" else ("stopped", _STOPPED)
    if lost:
        return _whether_again(work, last_words, in_vain)
    if status == os.EX_TEMPFAIL:
        return "waiting", "another process drives the study"
    if asked_to_end:
        return "stopped", f"{_STOPPED} by `autodepth stop`"
    return ("done", outcome) if status == 0 else ("failed", last_words())


def _whether_again(
    work: Work, last_words: Callable[[], str], in_vain: int
) -> tuple[State, str | None]:
    """Return the state of a work whose attempt was lost, through no fault of what was asked."""
    if in_vain >= _MOST_IN_VAIN:
        return "failed", f"its Ray did not start, {in_vain} times in a row: {last_words()}"
    if work.attempt >= _MOST_ATTEMPTS:
        return "failed", f"its process died {work.attempt} times: {last_words()}"
    if in_vain:
        times = f"{in_vain} of at most {_MOST_IN_VAIN} times in a row"
        return "waiting", f"taken up again, for its Ray did not start in time ({times})"
    return "waiting", "its process died; it goes on where it was"


def outcome_of_work(work: Work, study: StudyFolder, answer: Any) -> str | None:
    """Return how a work ended, in words; None where it has not, or nothing is to be told.

    Of a search that is how its study ended. A confirmation or a policy leaves that as it was,
    paused perhaps, and says itself whether it was broken off.

    Args:
        work: the work.
        study: its study.
        answer: the document that its command printed; None where there is none.
    """
    if work.kind in _SEARCHES:
        return outcome_of(study)
    if not work.drives or not isinstance(answer, Mapping):
        return None
    if answer.get("interrupted") is True:
        return INTERRUPTED
    if work.total is not None and (missing := answer.get("missing")):
        return f"{missing} trials are missing: {work.total} of its owner's allowance were left"
    return None


def spent_by(study: StudyFolder) -> float:
    """Return the device seconds that a study has been charged; 0 before it is one."""
    try:
        with Ledger.open(study.ledger_path, read_only=True) as ledger:
            return ledger.spent()
    except StudyError:
        return 0.0


def outcome_of(study: StudyFolder) -> str | None:
    """Return how a study ended last, in words; None where it has not, or is none."""
    try:
        with Ledger.open(study.ledger_path, read_only=True) as ledger:
            return ledger.study.outcome
    except StudyError:
        return None
