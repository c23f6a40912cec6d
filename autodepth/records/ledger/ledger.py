"""The ledger: one SQLite file per study that holds what happened, and nothing that did not.

Every method is one transaction that is on the disk when it returns (WAL, synchronous=FULL), so a
study that is killed at any moment keeps all it was told. One driver writes; any number of
processes may read meanwhile. MLflow and Optuna are projections that can be rebuilt from it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from autodepth.errors import InputError
from autodepth.records.ledger.database import SCHEMA, Database, new_database
from autodepth.records.ledger.reader import LedgerReader
from autodepth.records.ledger.spending import (
    CONFIRM,
    FAILED,
    balance,
    charge,
    shares_of_epochs,
    shares_of_result,
)
from autodepth.records.trial_record import BEGUN_AGAIN, StudyRecord, TrialKind, utc_now
from autodepth.trial.result import EpochReport, TrialResult, TrialState


class Ledger(LedgerReader):
    """An open ledger; safe to share between the threads of one process.

    Use `Ledger.create` or `Ledger.open`, and close it: it is a context manager.
    """

    @classmethod
    def create(cls, path: Path, study: StudyRecord) -> Self:
        """Start the ledger of a new study; it is there whole or not at all.

        Raises:
            StudyError: there is a file at `path` already.
        """
        objectives = [objective.to_dict() for objective in study.objectives]
        with new_database(path) as database, database.transaction() as connection:
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO study VALUES (0, ?, ?, ?, ?, ?, ?, ?, 0)",
                (study.name, study.seed, json.dumps(objectives), json.dumps(dict(study.plan)),
                 study.created_at, study.ended_at, study.outcome),
            )  # fmt: skip
        return cls.open(path)

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Self:
        """Open an existing ledger.

        Raises:
            StudyError: there is no ledger at `path`, or another version of autodepth wrote it.
        """
        return cls(Database(path, "read" if read_only else "write"))

    def begin_driving(self) -> int:
        """Become the driver of the study: writes of earlier drivers are refused from now on.

        Returns:
            A token that grows with every driver; it is checked within every write of this one.
        """
        return self.database.take_over()

    @property
    def token(self) -> int | None:
        """What `begin_driving` gave; None where nothing is driven through this ledger."""
        return self.database.token

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

    def start_trial(
        self,
        kind: TrialKind,
        point: Mapping[str, Any],
        policy: Mapping[str, Any],
        *,
        about: int | None = None,
        role: str = "",
        replicate: int = 0,
    ) -> int:
        """Enter a running trial and return its number; numbers are dense from 0.

        A trial that waited to be tried again with the same policy waits no longer.
        """
        with self.database.transaction() as connection:
            row = connection.execute("SELECT COALESCE(MAX(number) + 1, 0) FROM trial").fetchone()
            number = int(row[0])
            connection.execute(
                "INSERT INTO trial (number, state, kind, point, policy, about, role, replicate,"
                " started_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (number, TrialState.RUNNING, kind, json.dumps(dict(point)),
                 json.dumps(dict(policy)), about, role, replicate, utc_now()),
            )  # fmt: skip
            connection.execute(
                "DELETE FROM waiting WHERE"
                " (SELECT kind || policy FROM trial WHERE number = waiting.trial) = ?",
                (kind + json.dumps(dict(policy)),),
            )
        return number

    def record(
        self,
        epochs: Sequence[tuple[int, EpochReport]],
        verdicts: Sequence[tuple[int, str, Mapping[str, Any]]] = (),
    ) -> None:
        """Enter epochs of running trials, and how some compared with others, as one write.

        Args:
            epochs: trial and epoch; one that is repeated replaces the earlier one.
            verdicts: trial, name of the rung, and plain values; a rung that is repeated replaces
                the earlier verdict.

        Raises:
            InputError: a trial is unknown or has ended.
        """
        with self.database.transaction() as connection:
            for number in {number for number, _ in epochs}:
                self._check_running(number)
            connection.executemany(
                "INSERT OR REPLACE INTO epoch VALUES"
                " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(number, epoch.step, epoch.phase, epoch.train_loss, epoch.train_accuracy,
                  epoch.validation_accuracy, epoch.branches_expected, epoch.branches_computed,
                  json.dumps(dict(epoch.gradient_norms)), epoch.images_per_second, epoch.macs,
                  epoch.replayed, epoch.seconds, json.dumps(dict(epoch.sensitivities)),
                  json.dumps(dict(epoch.metrics)), epoch.unit)
                 for number, epoch in epochs],
            )  # fmt: skip
            connection.executemany(
                "INSERT OR REPLACE INTO verdict VALUES (?, ?, ?)",
                [(number, rung, json.dumps(dict(content))) for number, rung, content in verdicts],
            )

    def record_node(self, number: int, node: str) -> None:
        """Enter the node of a cluster that a running trial is on, by its address."""
        with self.database.transaction() as connection:
            connection.execute("UPDATE trial SET node = ? WHERE number = ?", (node, number))

    def begin_again(self, number: int, reason: str) -> None:
        """Enter that a running trial restarts; its epochs so far are deleted.

        Raises:
            InputError: the trial is unknown or has ended.
        """
        with self.database.transaction() as connection:
            self._check_running(number)
            connection.execute("DELETE FROM epoch WHERE trial = ?", (number,))
            connection.execute("UPDATE tracking SET epochs_sent = 0 WHERE trial = ?", (number,))
            connection.execute(
                "INSERT OR REPLACE INTO verdict VALUES (?, ?, ?)",
                (number, BEGUN_AGAIN, json.dumps({"rung": BEGUN_AGAIN, "reason": reason})),
            )

    def extend(self, plan: Mapping[str, Any]) -> None:
        """Go on with a study that ended: under a new plan, without an outcome for now."""
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE study SET plan = ?, ended_at = NULL, outcome = NULL",
                (json.dumps(dict(plan)),),
            )

    def complete_trial(
        self,
        number: int,
        result: TrialResult,
        device_seconds: float,
        broken: Sequence[str] = (),
        *,
        spent: float | None = None,
    ) -> None:
        """End a trial with its result.

        Args:
            number: the trial.
            result: what it brought back.
            device_seconds: device time not yet charged to this trial; it is charged here, in the
                same transaction, so a trial's time is counted exactly once.
            broken: the study's constraints that the result breaks; with any, the trial is kept
                but is no candidate for the front.
            spent: what the study has spent by now, see `balance`; None leaves the overhead.

        Raises:
            InputError: the trial is unknown or has ended, or the time is negative.
        """
        reasons = [f"breaks {', '.join(broken)}"] if broken else []
        names = [objective.name for objective in self._objectives]
        reasons += [
            f"{metric} is unknown: {why}"
            for metric, why in result.point.unknown.items()
            if metric in names or any(bound.startswith(f"{metric} ") for bound in broken)
        ]
        reason = "; ".join(reasons) or None
        values = [objective.value(result.point) for objective in self._objectives]
        brought = (json.dumps(result.to_dict()), None if reason else json.dumps(values))
        shares = shares_of_result(result)
        self._end(number, TrialState.COMPLETE, reason, device_seconds, shares, brought, spent=spent)

    def end_trial(
        self,
        number: int,
        state: TrialState,
        reason: str,
        device_seconds: float,
        *,
        spent: float | None = None,
        retry: bool = False,
    ) -> None:
        """End a trial without a result; the rules are those of `complete_trial`.

        The time of one that was stopped at a rung counts for the phases it was in; that of the
        others as `failed`. With `retry` its policy waits to be tried again, see `waiting`.
        """
        if state in (TrialState.RUNNING, TrialState.COMPLETE):
            known = [s.value for s in TrialState if s not in (TrialState.RUNNING, state)]
            raise InputError(f"state must be one of {', '.join(known)}, but got {state.value}")
        shares = shares_of_epochs(self.epochs(number)) if state is TrialState.STOPPED else {}
        self._end(number, state, reason, device_seconds, shares, spent=spent, retry=retry)

    def balance(self, spent: float) -> None:
        """Enter what the study has spent in all; what no trial was charged with is overhead.

        Time of trials that still run counts as overhead until they end. Nothing is taken back:
        where more was charged than `spent`, there is no overhead.

        Raises:
            InputError: `spent` is negative or not finite.
        """
        with self.database.transaction() as connection:
            balance(connection, spent)

    def charge_confirmation(self, device_seconds: float) -> None:
        """Charge device time that went to evidence about the front and to no trial.

        Raises:
            InputError: the time is negative or not finite.
        """
        with self.database.transaction() as connection:
            charge(connection, CONFIRM, device_seconds, None)

    def reserve(self, devices: float) -> None:
        """Enter how many devices are reserved from now on.

        What was spent by then tells, part by part, for how long each number of them was.
        """
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO reservation (devices, spent)"
                " SELECT ?, TOTAL(device_seconds) FROM spending",
                (devices,),
            )

    def end_study(self, outcome: str) -> None:
        """Enter why the study ended; a resumed study overwrites it at its next end."""
        with self.database.transaction() as connection:
            connection.execute("UPDATE study SET ended_at = ?, outcome = ?", (utc_now(), outcome))

    def _end(
        self,
        number: int,
        state: TrialState,
        reason: str | None,
        device_seconds: float,
        shares: Mapping[str, float],
        brought: tuple[str | None, str | None] = (None, None),
        *,
        spent: float | None,
        retry: bool = False,
    ) -> None:
        with self.database.transaction() as connection:
            result, candidate = brought
            of_search = self._check_running(number)
            if not of_search:
                shares, candidate = {CONFIRM: 1.0}, None
            for stage, share in (shares or {FAILED: 1.0}).items():
                charge(connection, stage, device_seconds * share, number)
            if spent is not None:
                balance(connection, spent)
            connection.execute(
                "UPDATE trial SET state = ?, reason = ?, ended_at = ?, result = ?, candidate = ?,"
                " spent = (SELECT TOTAL(device_seconds) FROM spending) WHERE number = ?",
                (state, reason, utc_now(), result, candidate, number),
            )
            if retry:
                connection.execute("INSERT INTO waiting VALUES (?)", (number,))
            if candidate is not None:
                self._thin_out(connection)

    def _thin_out(self, connection: sqlite3.Connection) -> None:
        """Drop candidates that are off the front: no later trial can bring one back."""
        numbers, members = self._members()
        for place in set(range(len(numbers))) - set(members):
            connection.execute(
                "UPDATE trial SET candidate = NULL WHERE number = ?", (numbers[place],)
            )

    def _check_running(self, number: int) -> bool:
        """Return whether a running trial belongs to the search."""
        rows = self.database.query("SELECT state, about FROM trial WHERE number = ?", number)
        if not rows:
            self.trial(number)  # says that there is none
        state = TrialState(rows[0]["state"])
        if state.ended:
            raise InputError(f"trial {number} must be running to change, but it is {state.value}")
        return rows[0]["about"] is None
