"""A study's status: what is left of its budget, where device time went, the front so far."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from autodepth.front.hypervolume import relative_hypervolume
from autodepth.front.objective import objective_values
from autodepth.records.driver_lock.heartbeat import Driver
from autodepth.records.ledger import Ledger
from autodepth.records.ledger.spending import useful_share
from autodepth.records.trial_record import TrialRecord, front_of
from autodepth.space.objectives import LATENCY
from autodepth.trial.device.latency_table import (
    LatencyTable,
    PredictionError,
    covers,
    prediction_error,
    tables_of,
)
from autodepth.trial.result import EpochReport, TrialState
from autodepth.units import Budget, Device

# What a budget goes to, in the order it is told; what the ledger has besides follows.
_LATEST = 50  # trials whose expected accuracies are compared
PHASES = ("parent", "sensitivity", "prune", "fine_tune", "measure", "confirm", "failed", "overhead")


@dataclass(frozen=True, kw_only=True)
class RunningTrial:
    """A trial that runs now.

    Args:
        trial: its number.
        kind: as `TrialRecord.kind`.
        seconds: since it was started.
        phase: of its last epoch; None before the first one ended.
        step: epochs so far, all phases counted through.
        validation_accuracy: after the last epoch, a fraction; of another task as of `EpochReport`.
        leading: the leading metric as a person reads it.
    """

    trial: int
    kind: str
    seconds: float
    phase: str | None = None
    step: int = 0
    validation_accuracy: float | None = None
    leading: str | None = None


@dataclass(frozen=True, kw_only=True)
class StudyStatus:
    """Where a study stands.

    Args:
        study: its name.
        network: what is searched for.
        data: what it learns.
        driver: the process that drives it; None while none does.
        outcome: why it ended last, in words; None if it has not.
        budget: what may be spent, as the plan says it.
        device: kind of device that is charged.
        spent_device_seconds: what was charged by now; of a study that runs, with what its devices
            have been reserved for since the last trial ended.
        share_spent: of the limit that is reached first, in [0, 1]; None where nothing tells.
        seconds_left: until the first limit in time is reached; None without such a limit.
        trials: how many there are in each state.
        seconds_per_trial: how often a trial ended on average, wall time; None before the first.
        spending: device seconds by what they went to, as the ledger has charged them.
        useful_share: of what was charged, what went to training, scoring and measuring; None
            before anything was charged.
        front: points on the front.
        hypervolume: of the front, each cost in units of its reference.
        running: the trials that run now.
        latency: how well latencies were predicted before training; None where none were.
        latency_at: the same of other places than the trial's device, by metric.
        accuracy_error: mean absolute error of the accuracies (validation split, fractions) that
            were expected of the latest trials before they began; None where none were.
    """

    study: str
    network: str
    data: str
    driver: Driver | None
    outcome: str | None
    budget: str
    device: Device
    spent_device_seconds: float
    share_spent: float | None
    seconds_left: float | None
    trials: Mapping[str, int]
    seconds_per_trial: float | None
    spending: Mapping[str, float]
    useful_share: float | None
    front: int
    hypervolume: float
    running: tuple[RunningTrial, ...]
    latency: PredictionError | None = None
    latency_at: Mapping[str, PredictionError] = field(default_factory=dict)
    accuracy_error: float | None = None

    @property
    def state(self) -> str:
        """Whether it runs, or how it ended, in words."""
        if self.driver is not None:
            return f"running: process {self.driver.pid} on {self.driver.host} drives it"
        return f"ended: {self.outcome}" if self.outcome else "not ended, but no process drives it"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return asdict(self)


def study_status(
    ledger: Ledger,
    driver: Driver | None,
    now: str,
    records: Sequence[TrialRecord] | None = None,
) -> StudyStatus:
    """Read a study's status from its ledger.

    Args:
        ledger: the study's, open for reading.
        driver: the process that drives it now, if any.
        now: ISO 8601, UTC.
        records: its trials, where they are known already; None reads them.

    Raises:
        BudgetError: the plan's budget cannot be read.
    """
    study, spending = ledger.study, ledger.spending()
    records = ledger.trials() if records is None else records
    plan, charged = study.plan, math.fsum(spending.values())
    devices = float(plan["devices"])
    ended = [record for record in records if record.state.ended]
    since = max([driver.since, *(r.ended_at or "" for r in ended)]) if driver else now
    running = _since(since, now)
    spent, wall = charged + devices * running, ledger.wall_spent() + running
    budget = Budget(**plan["limits"])
    left = budget.seconds_left(devices, device_seconds=spent, wall_seconds=wall)
    errors = latency_errors(records, tables_of(plan))
    front = front_of(records, study.objectives)
    values = objective_values([member.point for member in front], study.objectives)
    counts = Counter(record.state for record in records)
    return StudyStatus(
        study=study.name,
        network=plan["network"]["name"],
        data=plan["data"]["name"],
        driver=driver,
        outcome=study.outcome,
        budget=plan["budget"],
        device=plan["device"],
        spent_device_seconds=spent,
        share_spent=budget.share_spent(device_seconds=spent, wall_seconds=wall, trials=len(ended)),
        seconds_left=max(0.0, left) if math.isfinite(left) else None,
        trials={state.value: counts[state] for state in TrialState},
        seconds_per_trial=spent / devices / len(ended) if ended else None,
        spending={phase: spending[phase] for phase in _in_order(spending)},
        useful_share=useful_share(spending),
        front=len(front),
        hypervolume=relative_hypervolume(values, study.objectives),
        running=tuple(
            _running(record, ledger.epochs(record.number), now)
            for record in records
            if record.state is TrialState.RUNNING and driver is not None
        ),
        latency=errors.pop(LATENCY, None),
        latency_at=errors,
        accuracy_error=accuracy_error(records, ledger.expectations()),
    )


def accuracy_error(records: Sequence[TrialRecord], expected: Mapping[int, float]) -> float | None:
    """Return how far off expected accuracies were on average, in the latest trials.

    Args:
        records: of one study.
        expected: validation accuracy by trial, as of before it began.
    """
    errors = [
        abs(expected[record.number] - record.result.point.validation_accuracy)
        for record in records
        if record.result is not None and record.number in expected
    ][-_LATEST:]
    return math.fsum(errors) / len(errors) if errors else None


def latency_errors(
    records: Sequence[TrialRecord], tables: Mapping[str, LatencyTable]
) -> dict[str, PredictionError]:
    """Compare the latencies that tables predict with those that trials measured, by metric.

    Args:
        records: of one study.
        tables: as its plan has them; those of latencies that were asked for.
    """
    found = {}
    for metric, table in tables.items():
        results = [
            (
                table.predict(
                    record.result.removed,
                    record.policy.get("filter_sparsity", 0.0),
                    record.result.own_widths(record.policy),
                ),
                record.result.point.value(metric),
            )
            for record in records
            if record.result is not None
            and covers(record.policy)
            and record.result.point.knows([metric])
        ]
        if results:
            found[metric] = prediction_error(*zip(*results, strict=True))
    return found


def _in_order(spending: Mapping[str, float]) -> list[str]:
    return [s for s in PHASES if s in spending] + sorted(set(spending) - set(PHASES))


def _since(start: str, now: str) -> float:
    """Return the seconds from one time to a later one; 0 where a time cannot be read."""
    try:
        passed = datetime.fromisoformat(now) - datetime.fromisoformat(start)
    except ValueError:
        return 0.0
    return max(0.0, passed.total_seconds())


def _running(record: TrialRecord, epochs: Sequence[EpochReport], now: str) -> RunningTrial:
    seconds = _since(record.started_at, now)
    if not epochs:
        return RunningTrial(trial=record.number, kind=record.kind, seconds=seconds)
    last = epochs[-1]
    accuracy = last.validation_accuracy
    return RunningTrial(
        trial=record.number,
        kind=record.kind,
        seconds=seconds,
        phase=last.phase,
        step=last.step,
        validation_accuracy=None if math.isnan(accuracy) else accuracy,
        leading=None if math.isnan(accuracy) else last.shown(),
    )
