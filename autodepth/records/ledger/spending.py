"""Device time, split by what it went to: the one table that says what a study has spent."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Mapping

from autodepth.errors import InputError
from autodepth.trial.result import EpochReport, TrialResult

OVERHEAD, FAILED, CONFIRM = "overhead", "failed", "confirm"
USELESS = (FAILED, OVERHEAD)


def shares_of_result(result: TrialResult) -> dict[str, float]:
    """Return what share of a trial's time each of its phases took."""
    return _shares(result.phase_seconds)


def shares_of_epochs(epochs: Iterable[EpochReport]) -> dict[str, float]:
    """Return what share of a stopped trial's time each phase took, by its epochs."""
    seconds: dict[str, float] = {}
    for epoch in epochs:
        seconds[epoch.phase] = seconds.get(epoch.phase, 0.0) + epoch.seconds
    return _shares(seconds)


def charge(
    connection: sqlite3.Connection, stage: str, device_seconds: float, trial: int | None
) -> None:
    """Enter device time, within a transaction.

    Raises:
        InputError: the time is negative or not finite.
    """
    if not 0 <= device_seconds < math.inf:
        raise InputError(f"device_seconds must be at least 0, but got {device_seconds}")
    connection.execute(
        "INSERT INTO spending (trial, stage, device_seconds) VALUES (?, ?, ?)",
        (trial, stage, device_seconds),
    )


def balance(connection: sqlite3.Connection, spent: float) -> None:
    """Enter as overhead the part of `spent` not charged to any trial, within a transaction.

    Raises:
        InputError: `spent` is negative or not finite.
    """
    (charged,) = connection.execute(
        "SELECT TOTAL(device_seconds) FROM spending WHERE stage != ?", (OVERHEAD,)
    ).fetchone()
    rest = max(0.0, spent - charged) if 0 <= spent < math.inf else spent
    connection.execute("DELETE FROM spending WHERE stage = ?", (OVERHEAD,))
    charge(connection, OVERHEAD, rest, None)


def useful_share(spending: Mapping[str, float]) -> float | None:
    """Return the share for training, scoring and measuring: 1 - (overhead + failed) / spent.

    Args:
        spending: device seconds by what they went to.

    Returns:
        A fraction; None before anything was charged.
    """
    spent = math.fsum(spending.values())
    return 1 - math.fsum(spending.get(stage, 0.0) for stage in USELESS) / spent if spent else None


def _shares(seconds: Mapping[str, float]) -> dict[str, float]:
    total = math.fsum(seconds.values())
    return {stage: part / total for stage, part in seconds.items()} if total else {}
