"""Invariants of a study that hold whatever process died when, and the repair of violations.

`broken_invariants` reads and changes nothing. Some breaches are what a killed driver leaves and the
next one mends by itself; `mend` does that without one. A result is never made up and never deleted.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autodepth.atomic import sha256_of
from autodepth.errors import StudyError
from autodepth.front.dominance import dominates
from autodepth.records.driver_lock.lock import driver_of
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.records.trial_record import LOST, TrialRecord
from autodepth.trial.result import TrialState

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}")  # as `write_atomically` names what is not yet whole
_SLACK = 1e-6  # of sums of seconds


@dataclass(frozen=True, kw_only=True)
class Violation:
    """Something that must hold and does not.

    Args:
        rule: what must hold.
        found: what is there instead.
        mend: how it can be mended without losing anything; None where it cannot.
    """

    rule: str
    found: str
    mend: Callable[[], None] | None = None


def broken_invariants(folder: StudyFolder) -> list[Violation]:
    """Check a study against everything that must hold, a running one too.

    Raises:
        StudyError: there is no ledger, or it is no file of SQLite.
    """
    driven = driver_of(folder) is not None  # asked first: it may end meanwhile, and end its trials
    with (
        Ledger.open(folder.ledger_path, read_only=True) as ledger,
        ledger.database.one_moment(),
    ):
        if file := list(_file_is_sound(ledger)):
            return file  # what a damaged file says proves nothing
        try:
            records = ledger.trials()
        except (ValueError, KeyError, TypeError) as error:
            return [
                Violation(rule="every trial can be read", found=f"{type(error).__name__}: {error}")
            ]
        return [
            *_numbers_are_dense(records),
            *_ends_are_whole(records),
            *_policies_have_one_result(records),
            *_seconds_add_up(ledger, records),
            *_epochs_are_in_order(ledger, records),
            *_front_is_the_front(ledger, records),
            *_weights_are_there(folder, ledger, records, driven=driven),
            *([] if driven else _nothing_is_left_running(folder, records)),
            *([] if driven else _nothing_is_half_written(folder)),
        ]


def end_lost_trials(ledger: Ledger, devices_each: float) -> None:
    """End trials that ran when their driver died; what their epochs took is charged as failed.

    Args:
        ledger: of a study that nothing else drives.
        devices_each: devices that one trial holds.
    """
    for record in ledger.trials():
        if record.state is TrialState.RUNNING:
            seconds = math.fsum(epoch.seconds for epoch in ledger.epochs(record.number))
            spent = ledger.spent()
            charged = min(seconds * devices_each, ledger.spending().get("overhead", 0.0))
            ledger.end_trial(
                record.number, TrialState.FAILED, LOST, charged, spent=spent, retry=record.of_search
            )


def half_written(root: Path) -> list[Path]:
    """Return half-written files below a folder, of dead processes and of running ones."""
    found = root.rglob(".*")
    return sorted(path for path in found if _TEMPORARY.fullmatch(path.name) and path.is_file())


def sweep(root: Path) -> None:
    """Delete half-written files of dead processes below a folder; nobody may be writing there."""
    for path in half_written(root):
        path.unlink(missing_ok=True)


def _file_is_sound(ledger: Ledger) -> Iterator[Violation]:
    rule = "the ledger is a sound file"
    try:
        for (verdict,) in ledger.database.query("PRAGMA integrity_check(5)"):
            if verdict != "ok":
                yield Violation(rule=rule, found=verdict)
        for row in ledger.database.query("PRAGMA foreign_key_check"):
            yield Violation(rule=rule, found=f"a row of {row[0]} belongs to no trial")
    except sqlite3.DatabaseError as error:
        yield Violation(rule=rule, found=str(error))


def _numbers_are_dense(records: Sequence[TrialRecord]) -> Iterator[Violation]:
    numbers = [record.number for record in records]
    if numbers != list(range(len(records))):
        missing = sorted(set(range(max(numbers) + 1)) - set(numbers))
        yield Violation(
            rule="trials are numbered from 0 without gaps", found=f"without {missing[:9]}"
        )


def _ends_are_whole(records: Sequence[TrialRecord]) -> Iterator[Violation]:
    rule = "a trial has its result, its end and its charge exactly when it has ended so"
    for record in records:
        complete = record.state is TrialState.COMPLETE
        ended = record.ended_at is not None and record.spent is not None
        unsaid = record.state.ended and not complete and record.reason is None
        if complete != (record.result is not None) or ended != record.state.ended or unsaid:
            yield Violation(rule=rule, found=f"trial {record.number} is {record.state.value}")


def _policies_have_one_result(records: Sequence[TrialRecord]) -> Iterator[Violation]:
    keys = Counter(
        (repr(sorted(record.policy.items())), record.about, record.role, record.replicate)
        for record in records
        if record.state is TrialState.COMPLETE and record.kind != "unpruned"
    )
    for (policy, *_), count in keys.items():
        if count > 1:
            found = f"{count} trials completed {policy[:60]}..."
            yield Violation(rule="no policy is carried out to its end twice", found=found)


def _seconds_add_up(ledger: Ledger, records: Sequence[TrialRecord]) -> Iterator[Violation]:
    rule = "device time is finite, never negative, and no trial ended after all of it was spent"
    charges, total = ledger.charges(), ledger.spent()
    for trial, stage, seconds in charges:
        if not 0 <= seconds < math.inf:
            yield Violation(rule=rule, found=f"{seconds} s of {stage} charged to trial {trial}")
    for record in records:
        if record.spent is not None and not 0 <= record.spent <= total + _SLACK:
            found = f"trial {record.number} ended at {record.spent} of {total} s"
            yield Violation(rule=rule, found=found)


def _epochs_are_in_order(ledger: Ledger, records: Sequence[TrialRecord]) -> Iterator[Violation]:
    for record in records:
        steps = [epoch.step for epoch in ledger.epochs(record.number)]
        if steps != list(range(1, len(steps) + 1)):
            found = f"trial {record.number} has {steps[:9]}"
            yield Violation(
                rule="the epochs of a trial are counted from 1 without gaps", found=found
            )


def _front_is_the_front(ledger: Ledger, records: Sequence[TrialRecord]) -> Iterator[Violation]:
    objectives = ledger.study.objectives
    goals = [objective.goal for objective in objectives]
    values = {
        record.number: [objective.value(record.front_point.point) for objective in objectives]
        for record in records
        if record.front_point is not None
    }
    # By the definition of a front: nothing of what it was made with is used.
    told = {member.trial for member in ledger.front()}
    for number, mine in values.items():
        if number in told:
            wrong = any(dominates(other, mine, goals) for other in values.values())
        else:
            members = [values[member] for member in told & values.keys()]
            wrong = not any(m == mine or dominates(m, mine, goals) for m in members)
        if wrong or told - values.keys():
            found = f"trial {number} is {'' if number in told else 'not '}on it"
            yield Violation(
                rule="the front holds what no complete trial within bounds beats", found=found
            )


def _weights_are_there(
    folder: StudyFolder, ledger: Ledger, records: Sequence[TrialRecord], *, driven: bool
) -> Iterator[Violation]:
    rule = "the weights of each member of the front are those it was measured with"
    for member in ledger.front():
        result = records[member.trial].result
        if result is None or result.weights_file is None:
            continue
        path = folder.trial_folder(member.trial) / result.weights_file
        if not path.is_file():
            if not driven:  # else it may have left the front since we looked
                yield Violation(rule=rule, found=f"trial {member.trial} has none")
        elif result.weights_sha256 and sha256_of(path) != result.weights_sha256:
            yield Violation(rule=rule, found=f"{path} changed since")


def _nothing_is_left_running(
    folder: StudyFolder, records: Sequence[TrialRecord]
) -> Iterator[Violation]:
    def end() -> None:
        with Ledger.open(folder.ledger_path) as ledger:
            plan = ledger.study.plan
            end_lost_trials(ledger, plan.get("devices", 1) / plan.get("concurrency", 1))

    running = [record.number for record in records if record.state is TrialState.RUNNING]
    if running:
        found = f"trials {running} run, and nothing drives the study"
        yield Violation(rule="a trial runs only while its study is driven", found=found, mend=end)


def _nothing_is_half_written(folder: StudyFolder) -> Iterator[Violation]:
    if found := half_written(folder.path):
        yield Violation(
            rule="no file stays half written",
            found=", ".join(str(path.relative_to(folder.path)) for path in found),
            mend=lambda: sweep(folder.path),
        )


def mend(folder: StudyFolder) -> tuple[list[Violation], list[Violation]]:
    """Mend what can be mended; return that, and what is still broken.

    Raises:
        StudyError: a process drives the study, which mends it by itself.
    """
    driver = driver_of(folder)
    if driver is not None:
        raise StudyError(
            f"a study is mended while nothing drives it, but process {driver.pid} on {driver.host} "
            f"drives {folder.name}"
        )
    mended = [breach for breach in broken_invariants(folder) if breach.mend is not None]
    for breach in mended:
        assert breach.mend is not None
        breach.mend()
    return mended, broken_invariants(folder)
