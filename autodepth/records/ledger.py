"""The ledger: one SQLite file per study that holds what happened, and nothing that did not.

Every method is one transaction that is on the disk when it returns (WAL, synchronous=FULL), so a
study that is killed at any moment keeps all it was told. One driver writes; any number of
processes may read meanwhile. MLflow and Optuna are projections that can be rebuilt from it.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from autodepth.errors import InputError
from autodepth.front.objective import Objective
from autodepth.front.selection import FrontPoint, front_points
from autodepth.records.database import SCHEMA, Database
from autodepth.records.trial_record import StudyRecord, TrialKind, TrialRecord, utc_now
from autodepth.trial.result import EpochReport, TrialResult, TrialState

_TRIALS = (
    "SELECT trial.*, (SELECT TOTAL(device_seconds) FROM spending WHERE trial = number)"
    " AS device_seconds FROM trial "
)
_END = "end"  # the stage under which a trial's end charges its time


class Ledger:
    """An open ledger; safe to share between the threads of one process.

    Use `Ledger.create` or `Ledger.open`, and close it: it is a context manager.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def create(cls, path: Path, study: StudyRecord) -> Self:
        """Start the ledger of a new study.

        Raises:
            StudyError: there is a file at `path` already.
        """
        ledger = cls(Database(path, "create"))
        objectives = [objective.to_dict() for objective in study.objectives]
        with ledger.database.transaction() as connection:
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO study VALUES (0, ?, ?, ?, ?, ?, ?, ?)",
                (study.name, study.seed, json.dumps(objectives), json.dumps(dict(study.plan)),
                 study.created_at, study.ended_at, study.outcome),
            )  # fmt: skip
        return ledger

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Self:
        """Open an existing ledger.

        Raises:
            StudyError: there is no ledger at `path`, or another version of autodepth wrote it.
        """
        return cls(Database(path, "read" if read_only else "write"))

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Writing

    def start_trial(
        self, kind: TrialKind, point: Mapping[str, Any], policy: Mapping[str, Any]
    ) -> int:
        """Enter a running trial and return its number; numbers are dense from 0."""
        with self.database.transaction() as connection:
            (number,) = connection.execute("SELECT COUNT(*) FROM trial").fetchone()
            connection.execute(
                "INSERT INTO trial (number, state, kind, point, policy, started_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (number, TrialState.RUNNING, kind, json.dumps(dict(point)),
                 json.dumps(dict(policy)), utc_now()),
            )  # fmt: skip
        return int(number)

    def record_epoch(self, number: int, epoch: EpochReport) -> None:
        """Enter one epoch of a running trial; an epoch that was repeated replaces the earlier one.

        Raises:
            InputError: the trial is unknown or has ended.
        """
        with self.database.transaction() as connection:
            self._check_running(number)
            connection.execute(
                "INSERT OR REPLACE INTO epoch VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (number, epoch.step, epoch.stage, epoch.train_loss, epoch.train_accuracy,
                 epoch.validation_accuracy, epoch.branches_expected, epoch.branches_computed,
                 json.dumps(dict(epoch.gradient_norms)), epoch.images_per_second, epoch.seconds),
            )  # fmt: skip

    def complete_trial(
        self,
        number: int,
        result: TrialResult,
        device_seconds: float,
        broken: Sequence[str] = (),
    ) -> None:
        """End a trial with its result.

        Args:
            number: the trial.
            result: what it brought back.
            device_seconds: device time not yet charged to this trial; it is charged here, in the
                same transaction, so a trial's time is counted exactly once.
            broken: the study's constraints that the result breaks; with any, the trial is kept
                but is no candidate for the front.

        Raises:
            InputError: the trial is unknown or has ended, or the time is negative.
        """
        reason = f"breaks {', '.join(broken)}" if broken else None
        content = json.dumps(result.to_dict())
        self._end(number, TrialState.COMPLETE, reason, device_seconds, content)

    def end_trial(
        self,
        number: int,
        state: Literal[TrialState.FAILED, TrialState.INFEASIBLE, TrialState.CANCELLED],
        reason: str,
        device_seconds: float,
    ) -> None:
        """End a trial that brought nothing back; the rules are those of `complete_trial`."""
        if state in (TrialState.RUNNING, TrialState.COMPLETE):
            raise InputError(
                f"state must be failed, infeasible or cancelled, but got {state.value}"
            )
        self._end(number, state, reason, device_seconds, None)

    def charge(self, stage: str, device_seconds: float, trial: int | None = None) -> None:
        """Spend device time other than at a trial's end: a failed attempt, work of the study.

        Raises:
            InputError: the time is negative or not finite, the trial is unknown, or the stage is
                `end`, which is kept for `complete_trial` and `end_trial`.
        """
        if stage == _END:
            raise InputError(f"stage must not be {_END!r}: a trial's end charges that itself")
        with self.database.transaction() as connection:
            if trial is not None:
                self.trial(trial)
            _charge(connection, stage, device_seconds, trial)

    def end_study(self, outcome: str) -> None:
        """Enter why the study ended; a study that is carried on and ends again says it anew."""
        with self.database.transaction() as connection:
            connection.execute("UPDATE study SET ended_at = ?, outcome = ?", (utc_now(), outcome))

    def _end(
        self,
        number: int,
        state: TrialState,
        reason: str | None,
        device_seconds: float,
        result: str | None,
    ) -> None:
        with self.database.transaction() as connection:
            self._check_running(number)
            connection.execute(
                "UPDATE trial SET state = ?, reason = ?, ended_at = ?, result = ? WHERE number = ?",
                (state, reason, utc_now(), result, number),
            )
            _charge(connection, _END, device_seconds, number)

    def _check_running(self, number: int) -> None:
        state = self.trial(number).state
        if state.ended:
            raise InputError(f"trial {number} must be running to change, but it is {state.value}")

    # Reading

    @property
    def study(self) -> StudyRecord:
        """The study this ledger belongs to."""
        values = dict(self.database.query("SELECT * FROM study")[0])
        del values["id"]
        values["plan"] = json.loads(values["plan"])
        values["objectives"] = tuple(Objective(**o) for o in json.loads(values["objectives"]))
        return StudyRecord(**values)

    def spent(self) -> float:
        """Return all device seconds spent, on failed and repeated work too."""
        return float(self.database.query("SELECT TOTAL(device_seconds) FROM spending")[0][0])

    def trials(self) -> list[TrialRecord]:
        """Return every trial, by number."""
        return [_trial(row) for row in self.database.query(_TRIALS + "ORDER BY number")]

    def trial(self, number: int) -> TrialRecord:
        """Return one trial.

        Raises:
            InputError: there is no such trial.
        """
        rows = self.database.query(_TRIALS + "WHERE number = ?", number)
        if not rows:
            (count,) = self.database.query("SELECT COUNT(*) FROM trial")[0]
            raise InputError(f"the study has {count} trials, numbered from 0, but got {number}")
        return _trial(rows[0])

    def epochs(self, number: int) -> list[EpochReport]:
        """Return the epochs of a trial, by step."""
        rows = self.database.query("SELECT * FROM epoch WHERE trial = ? ORDER BY step", number)
        return [_epoch(row) for row in rows]

    def endings(self) -> list[tuple[int, float]]:
        """Return (trial, device seconds the study had spent by then), in the order of ending."""
        rows = self.database.query(
            "SELECT trial, spent FROM (SELECT id, trial, stage, SUM(device_seconds) OVER"
            " (ORDER BY id) AS spent FROM spending) WHERE stage = ? ORDER BY id",
            _END,
        )
        return [(row["trial"], row["spent"]) for row in rows]

    def front(self, objectives: Sequence[Objective] | None = None) -> list[FrontPoint]:
        """Return the Pareto front of the complete trials, by number.

        Args:
            objectives: what to compare by; the study's own if None.
        """
        rows = self.database.query(_TRIALS + "WHERE state = ? ORDER BY number", TrialState.COMPLETE)
        points = [point for row in rows if (point := _trial(row).front_point) is not None]
        return front_points(points, self.study.objectives if objectives is None else objectives)


def _charge(
    connection: sqlite3.Connection, stage: str, device_seconds: float, trial: int | None
) -> None:
    if not 0 <= device_seconds < math.inf:
        raise InputError(f"device_seconds must be at least 0, but got {device_seconds}")
    connection.execute(
        "INSERT INTO spending (trial, stage, device_seconds) VALUES (?, ?, ?)",
        (trial, stage, device_seconds),
    )


def _trial(row: sqlite3.Row) -> TrialRecord:
    values = dict(row)
    result = values["result"]
    values |= {
        "state": TrialState(values["state"]),
        "point": json.loads(values["point"]),
        "policy": json.loads(values["policy"]),
        "result": None if result is None else TrialResult.from_dict(json.loads(result)),
    }
    return TrialRecord(**values)


def _epoch(row: sqlite3.Row) -> EpochReport:
    values: dict[str, Any] = {k: math.nan if v is None else v for k, v in dict(row).items()}
    norms = json.loads(values["gradient_norms"])
    values["gradient_norms"] = {int(branch): norm for branch, norm in norms.items()}
    return EpochReport(**{field.name: values[field.name] for field in fields(EpochReport)})
