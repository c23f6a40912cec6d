"""Queries of a study's ledger: trials, epochs, device time, the front."""

from __future__ import annotations

import functools
import json
import math
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from autodepth.errors import InputError, NewerStudyError, check_known
from autodepth.front.dominance import pareto_front
from autodepth.front.objective import Objective
from autodepth.front.selection import FrontPoint, front_points
from autodepth.records.ledger.database import Database
from autodepth.records.ledger.rows import epoch_of, trial_of
from autodepth.records.trial_record import EXPECTED, StudyRecord, TrialRecord
from autodepth.trial.result import EpochReport, TrialState

_TRIALS = (
    "SELECT trial.*, (SELECT TOTAL(device_seconds) FROM spending WHERE trial = number)"
    " AS device_seconds FROM trial "
)
Record = TypeVar("Record")


class LedgerReader:
    """The half of `Ledger` that reads.

    What a newer autodepth wrote and this one does not know is refused with `NewerStudyError`.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    @property
    def study(self) -> StudyRecord:
        """The study this ledger belongs to."""
        return self._read(_study_of, self.database.query("SELECT * FROM study")[0])

    def _read(self, make: Callable[[sqlite3.Row], Record], row: sqlite3.Row) -> Record:
        """Return what a row holds; who is refused is told whose autodepth began the study."""
        try:
            return make(row)
        except NewerStudyError as error:
            (plan,) = self.database.query("SELECT plan FROM study")[0]
            begun = json.loads(plan).get("autodepth", "of unknown version")
            name = self.database.path.parent.name
            raise NewerStudyError(f"{error}; {name} was begun by autodepth {begun}") from error

    def spent(self) -> float:
        """Return all device seconds spent, on failed and repeated work too."""
        return float(self.database.query("SELECT TOTAL(device_seconds) FROM spending")[0][0])

    def wall_spent(self) -> float:
        """Return the seconds for which any device was reserved, however many there were."""
        rows: list[tuple[float, float]] = []
        if self.database.version >= 5:
            found = self.database.query("SELECT devices, spent FROM reservation ORDER BY id")
            rows = [(row["devices"], row["spent"]) for row in found]
        rows = rows or [(float(self.study.plan.get("devices", 1)), 0.0)]
        ends = [*(start for _, start in rows[1:]), self.spent()]
        parts = zip(rows, ends, strict=True)
        return math.fsum((end - start) / devices for (devices, start), end in parts)

    def spending(self) -> dict[str, float]:
        """Return device seconds by what they went to: phases, confirm, failed, overhead."""
        rows = self.database.query(
            "SELECT stage, TOTAL(device_seconds) AS seconds FROM spending GROUP BY stage"
        )
        return {row["stage"]: row["seconds"] for row in rows}

    def trials(self, start: int = 0) -> list[TrialRecord]:
        """Return every trial from a number on, by number."""
        rows = self.database.query(_TRIALS + "WHERE number >= ? ORDER BY number", start)
        return [self._read(trial_of, row) for row in rows]

    def waiting(self) -> list[TrialRecord]:
        """Return the trials that were broken off and whose policies are still to be tried again."""
        if self.database.version < 6:
            return []
        waiting = "WHERE number IN (SELECT trial FROM waiting) ORDER BY number"
        rows = self.database.query(_TRIALS + waiting)
        return [self._read(trial_of, row) for row in rows]

    def counts(self) -> dict[TrialState, int]:
        """Return how many trials there are in each state, without reading them."""
        rows = self.database.query("SELECT state, COUNT(*) AS trials FROM trial GROUP BY state")
        found = {row["state"]: int(row["trials"]) for row in rows}
        return {state: found.get(state.value, 0) for state in TrialState}

    def charges(self) -> list[tuple[int | None, str, float]]:
        """Return (trial, phase, device seconds) as they were charged, the first one first."""
        rows = self.database.query("SELECT trial, stage, device_seconds FROM spending ORDER BY id")
        return [(row["trial"], row["stage"], row["device_seconds"]) for row in rows]

    def trial(self, number: int) -> TrialRecord:
        """Return one trial.

        Raises:
            InputError: there is no such trial.
        """
        rows = self.database.query(_TRIALS + "WHERE number = ?", number)
        if not rows:
            (count,) = self.database.query("SELECT COUNT(*) FROM trial")[0]
            raise InputError(f"the study has {count} trials, numbered from 0, but got {number}")
        return self._read(trial_of, rows[0])

    def epochs(self, number: int) -> list[EpochReport]:
        """Return the epochs of a trial, by step."""
        rows = self.database.query("SELECT * FROM epoch WHERE trial = ? ORDER BY step", number)
        return [self._read(epoch_of, row) for row in rows]

    def verdicts(self, number: int) -> list[dict[str, Any]]:
        """Return how a trial compared with others, rung by rung, as it was entered."""
        rows = self.database.query("SELECT content FROM verdict WHERE trial = ?", number)
        return [json.loads(row["content"]) for row in rows]

    def expectations(self) -> dict[int, float]:
        """Return the validation accuracy that was expected of trials before they began."""
        rows = self.database.query("SELECT trial, content FROM verdict WHERE rung = ?", EXPECTED)
        return {row["trial"]: json.loads(row["content"])["accuracy"] for row in rows}

    def endings(self) -> list[tuple[int, float]]:
        """Return (trial, device seconds the study had spent by then), in the order of ending.

        What was spent only grows, where the clock of a machine may be set back.
        """
        rows = self.database.query(
            "SELECT number, spent FROM trial WHERE spent IS NOT NULL ORDER BY spent, number"
        )
        return [(row["number"], row["spent"]) for row in rows]

    def front(self, objectives: Sequence[Objective] | None = None) -> list[FrontPoint]:
        """Return the Pareto front of the complete trials, by number.

        Args:
            objectives: what to compare by; the study's own if None.
        """
        if objectives is not None and tuple(objectives) != self._objectives:
            rows = self.database.query(_TRIALS + "WHERE result IS NOT NULL ORDER BY number")
            records = [self._read(trial_of, row) for row in rows]
            return front_points([p for r in records if (p := r.front_point)], objectives)
        numbers, members = self._members()
        return [p for i in members if (p := self.trial(numbers[i]).front_point)]

    def _members(self) -> tuple[list[int], list[int]]:
        """Return the candidates' numbers, and the places of those on the front."""
        rows = self.database.query(
            "SELECT number, candidate FROM trial WHERE candidate IS NOT NULL ORDER BY number"
        )
        goals = [objective.goal for objective in self._objectives]
        front = pareto_front([json.loads(row["candidate"]) for row in rows], goals)
        return [row["number"] for row in rows], front

    @functools.cached_property
    def _objectives(self) -> tuple[Objective, ...]:
        return self.study.objectives


def _study_of(row: sqlite3.Row) -> StudyRecord:
    values = dict(row)
    del values["id"]
    values.pop("token", None)  # of whoever drives it
    check_known("a study", values, (field.name for field in fields(StudyRecord)))
    values["plan"] = json.loads(values["plan"])
    objectives = json.loads(values["objectives"])
    for told in objectives:
        check_known("an objective", told, (field.name for field in fields(Objective)))
    values["objectives"] = tuple(Objective(**told) for told in objectives)
    return StudyRecord(**values)
