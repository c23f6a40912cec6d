"""How a study's budget burned down: what was spent on what by when, and what was left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from autodepth.records.ledger import Ledger
from autodepth.records.ledger.spending import OVERHEAD
from autodepth.records.trial_record import TrialRecord
from autodepth.report.study_status import PHASES
from autodepth.units import Budget, Device

MOST_STEPS = 200
"""More than a figure can show."""


@dataclass(frozen=True, kw_only=True)
class BurnDown:
    """Device time over wall time.

    Args:
        device: kind of device that is charged.
        limit: device seconds the budget allows in all; None where only trials limit it.
        times: ISO 8601, UTC, rising: when the study began, then ends of trials.
        spent: by what it went to, device seconds charged by each time; one list per phase.
    """

    device: Device
    limit: float | None
    times: tuple[str, ...]
    spent: dict[str, tuple[float, ...]]

    @property
    def left(self) -> tuple[float, ...] | None:
        """Device seconds left at each time, at least 0; None without a limit in time."""
        if self.limit is None:
            return None
        sums = (sum(values) for values in zip(*self.spent.values(), strict=True))
        return tuple(max(0.0, self.limit - total) for total in sums)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return {**asdict(self), "left": self.left}


def burn_down(ledger: Ledger, records: Sequence[TrialRecord]) -> BurnDown:
    """Read how the budget burned down.

    A trial's time counts when it ends, in the order of ending; a charge of the study itself with
    the trial that was charged last before it. Overhead is what the study had spent by then less
    what was charged.

    Args:
        ledger: the study's, open for reading.
        records: its trials, by number.

    Raises:
        BudgetError: the plan's budget cannot be read.
    """
    study = ledger.study
    plan, devices = study.plan, float(study.plan["devices"])
    charged: dict[int | None, list[tuple[str, float]]] = {}
    trial: int | None = None
    for number, phase, seconds in ledger.charges():
        trial = trial if number is None else number
        if phase != OVERHEAD:
            charged.setdefault(trial, []).append((phase, seconds))
    sums: dict[str, float] = {}
    rows: list[tuple[str, dict[str, float]]] = [(study.created_at, {})]
    for number, spent in [(None, 0.0), *ledger.endings()]:
        for phase, seconds in charged.get(number, []):
            sums[phase] = sums.get(phase, 0.0) + seconds
        if number is not None and number < len(records):  # one that began after they were read
            overhead = max(sums.get(OVERHEAD, 0.0), spent - _charged(sums))
            sums[OVERHEAD] = overhead
            rows.append((records[number].ended_at or study.created_at, dict(sums)))
    budget = Budget(**plan["limits"])
    kept = _thinned(rows)
    known = [s for s in PHASES if s in sums] + sorted(set(sums) - set(PHASES))
    return BurnDown(
        device=plan["device"],
        limit=_limit(budget, devices),
        times=tuple(time for time, _ in kept),
        spent={phase: tuple(row.get(phase, 0.0) for _, row in kept) for phase in known},
    )


def ends_at(now: str, seconds_left: float | None) -> str | None:
    """Return when a budget ends at the latest; None where nothing tells."""
    if seconds_left is None:
        return None
    moment = datetime.fromisoformat(now) + timedelta(seconds=seconds_left)
    return moment.isoformat(timespec="seconds")


def _charged(sums: dict[str, float]) -> float:
    return sum(seconds for phase, seconds in sums.items() if phase != OVERHEAD)


def _limit(budget: Budget, devices: float) -> float | None:
    limits = [] if budget.device_seconds is None else [budget.device_seconds]
    limits += [] if budget.wall_seconds is None else [budget.wall_seconds * devices]
    return min(limits, default=None)


def _thinned(
    rows: Sequence[tuple[str, dict[str, float]]],
) -> list[tuple[str, dict[str, float]]]:
    """Keep so many rows that a figure shows all there is to see, the last one among them."""
    if len(rows) <= MOST_STEPS:
        return list(rows)
    step = (len(rows) - 1) / (MOST_STEPS - 1)
    return [rows[round(place * step)] for place in range(MOST_STEPS)]
