"""What the server knows of one study: read from its ledger once, and again where it changed."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from autodepth.front.selection import FrontPoint
from autodepth.records.driver_lock.heartbeat import Driver
from autodepth.records.driver_lock.lock import driver_of
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.records.trial_record import StudyRecord, TrialRecord, front_of
from autodepth.report.analysis.confirmed import ConfirmedMember, confirmed_members

Stamp = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A study as it was at one look.

    Args:
        instance: changes when revisions start anew: with the server, or with the study's folder.
        revision: rises whenever a trial began or changed.
        study: the study.
        records: its trials, by number.
        changed: the revision at which each of them changed last.
        front: its front.
        members: the front as fresh seeds confirm it.
    """

    instance: str
    revision: int
    study: StudyRecord
    records: tuple[TrialRecord, ...]
    changed: tuple[int, ...]
    front: tuple[FrontPoint, ...]
    members: tuple[ConfirmedMember, ...]

    def since(self, instance: str, revision: int) -> list[TrialRecord]:
        """Return the trials that changed after a revision; all of them after another instance."""
        if instance != self.instance:
            return list(self.records)
        pairs = zip(self.records, self.changed, strict=True)
        return [record for record, changed in pairs if changed > revision]


class StudyView:
    """Reads one study, and of what it has read only what may have changed.

    A trial that has ended changes no more, so a study of ten thousand is read once.

    Args:
        folder: the study's.
    """

    def __init__(self, folder: StudyFolder) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._stamp: Stamp = ()
        self._snapshot: Snapshot | None = None

    def stamp(self) -> Stamp:
        """Return what changes whenever the ledger is written to; costs two looks at a folder."""
        ledger = self.folder.ledger_path
        found = []
        for path in (ledger, ledger.with_name(ledger.name + "-wal")):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)

    def driver(self) -> Driver | None:
        """Return the process that drives the study now, if any."""
        return driver_of(self.folder)

    def look(self) -> Snapshot:
        """Return the study as it is now.

        Raises:
            StudyError: the ledger cannot be read.
        """
        with self._lock:
            stamp = self.stamp()  # before reading: what is written meanwhile is read next time
            if self._snapshot is None or stamp != self._stamp:
                with Ledger.open(self.folder.ledger_path, read_only=True) as ledger:
                    self._snapshot = _read(ledger, self._snapshot)
                self._stamp = stamp
            return self._snapshot


def _read(ledger: Ledger, before: Snapshot | None) -> Snapshot:
    study = ledger.study
    if before is None or before.study.created_at != study.created_at:
        records = tuple(ledger.trials())
        return _snapshot(secrets.token_hex(4), 0, study, records, (0,) * len(records))
    revision = before.revision + 1
    records_now, changed = list(before.records), list(before.changed)
    for place, record in enumerate(before.records):
        if not record.state.ended:
            now = ledger.trial(record.number)
            if now != record:
                records_now[place], changed[place] = now, revision
    new = ledger.trials(len(records_now))
    if not new and changed == list(before.changed):  # an epoch, or what was spent
        return Snapshot(**{**vars(before), "study": study})
    records_now += new
    changed += [revision] * len(new)
    return _snapshot(before.instance, revision, study, tuple(records_now), tuple(changed))


def _snapshot(
    instance: str,
    revision: int,
    study: StudyRecord,
    records: tuple[TrialRecord, ...],
    changed: Iterable[int],
) -> Snapshot:
    front = tuple(front_of(records, study.objectives))
    return Snapshot(
        instance=instance,
        revision=revision,
        study=study,
        records=records,
        changed=tuple(changed),
        front=front,
        members=tuple(confirmed_members(front, records)),
    )
