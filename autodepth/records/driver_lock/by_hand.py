"""Policies that people want carried out in a study that runs: a file each, until a trial has it.

A policy is known by its content, so it is carried out once, however often it is asked for.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from autodepth.atomic import write_atomically
from autodepth.records.studies import StudyFolder
from autodepth.records.trial_record import TrialRecord
from autodepth.trial.result import TrialState

FOLDER = "by_hand"
_ROLE = "by hand {key}"
_MOST_TRIES = 3  # of one that is lost with its worker
_log = logging.getLogger(__name__)


def role_of(policy: Mapping[str, Any]) -> str:
    """Return what the trial of a policy is called that a person asked for."""
    text = json.dumps(dict(policy), sort_keys=True)
    return _ROLE.format(key=hashlib.sha256(text.encode()).hexdigest()[:12])


def ask_for(folder: StudyFolder, policy: Mapping[str, Any]) -> str:
    """Have the study's driver carry a policy out next, and return what its trial is called."""
    place, role = folder.path / FOLDER, role_of(policy)
    place.mkdir(exist_ok=True)
    write_atomically(place / f"{_key(role)}.json", json.dumps(dict(policy)))
    return role


def take_back(folder: StudyFolder, role: str) -> None:
    """Ask for a policy no longer; a trial that has begun goes on."""
    (folder.path / FOLDER / f"{_key(role)}.json").unlink(missing_ok=True)


def asked_for(folder: StudyFolder) -> dict[str, Mapping[str, Any]]:
    """Return the policies that are asked for now, by what their trials are to be called.

    It costs a failed look at a folder while nobody has ever asked for one.
    """
    found: dict[str, Mapping[str, Any]] = {}
    try:
        files = sorted(path for path in (folder.path / FOLDER).iterdir() if path.suffix == ".json")
    except OSError:
        return found
    for path in files:
        try:
            found[_ROLE.format(key=path.stem)] = dict(json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            _log.warning("a policy that was asked for cannot be read: %s: %s", path, error)
    return found


def trial_of(records: Iterable[TrialRecord], role: str) -> TrialRecord | None:
    """Return the trial that has settled what was asked for; None while there is none.

    One that was lost through no doing of its own settles nothing, unless it was lost again and
    again.
    """
    tried = [record for record in records if record.kind == "search" and record.role == role]
    settled = [r for r in tried if r.state.ended and not r.broken_off]
    lost = [r for r in tried if r.broken_off and r.state is TrialState.FAILED]
    return next(iter(settled), lost[-1] if len(lost) >= _MOST_TRIES else None)


def _key(role: str) -> str:
    return role.rpartition(" ")[2]
