"""Turn rows of the ledger's tables into records."""

from __future__ import annotations

import json
import math
import sqlite3
from dataclasses import fields
from typing import Any

from autodepth.errors import check_known
from autodepth.records.trial_record import TrialRecord
from autodepth.trial.result import EpochReport, TrialResult, TrialState


def trial_of(row: sqlite3.Row) -> TrialRecord:
    """Return a trial from its row, device seconds included.

    Raises:
        NewerStudyError: a newer autodepth wrote it.
    """
    values = dict(row)
    del values["candidate"]
    check_known("a trial", values, (field.name for field in fields(TrialRecord)))
    check_known("the state of a trial", [values["state"]], TrialState)
    result = values["result"]
    values |= {
        "state": TrialState(values["state"]),
        "point": json.loads(values["point"]),
        "policy": json.loads(values["policy"]),
        "result": None if result is None else TrialResult.from_dict(json.loads(result)),
    }
    return TrialRecord(**values)


def epoch_of(row: sqlite3.Row) -> EpochReport:
    """Return an epoch from its row; SQLite keeps NaN as NULL.

    Raises:
        NewerStudyError: a newer autodepth wrote it.
    """
    values: dict[str, Any] = {k: math.nan if v is None else v for k, v in dict(row).items()}
    values["phase"] = values.pop("stage")
    values.pop("trial", None)
    check_known("an epoch", values, (field.name for field in fields(EpochReport)))
    for name in ("gradient_norms", "sensitivities"):  # ledgers before version 4 lack the second
        told = json.loads(values.get(name, "{}"))
        values[name] = {int(branch): value for branch, value in told.items()}
    values["metrics"] = json.loads(values.get("metrics", "{}"))  # those before 7 lack the next two
    values.setdefault("unit", "%")
    values["macs"], values["replayed"] = int(values["macs"]), bool(values["replayed"])
    return EpochReport(**{field.name: values[field.name] for field in fields(EpochReport)})
