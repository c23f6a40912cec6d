"""Every write of a study as the one at which its process dies, or the disk is full."""

import contextlib
import errno
import os
import signal
import sqlite3

import pytest
from crash_loop import drive

from autodepth.errors import StudyError
from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.studies import MLFLOW_STORE, studies_root

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("with_a_store")]
TRIALS = 3
SYSTEM_CALLS = ("open", "fsync", "replace", "rename", "mkdir", "unlink", "ftruncate", "pwrite")
SHARE = int(
    os.environ.get("AUTODEPTH_FAULT_SHARE", "160")
)  # one point in so many; `make faults`: 1


class Points:
    """Counts what changes files, and lets one point fail.

    Args:
        at: the number of the point that fails; None for none.
        how: `kill` this process before it, or let it find the disk `full` from there on.
    """

    def __init__(self, at=None, how="kill"):
        self.at, self.how, self.count = at, how, 0

    def pass_by(self, full):
        here, self.count = self.count, self.count + 1
        if self.at is None or here < self.at:
            return
        if self.how == "full":
            raise full
        os.kill(os.getpid(), signal.SIGKILL)

    def install(self):
        """Wrap system calls that write, and the ledger's statements; for this process's life."""
        for name in SYSTEM_CALLS:
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        points, connect = self, sqlite3.connect

        class Connection(sqlite3.Connection):
            def execute(self, statement, *values):
                if statement.startswith(("BEGIN IMMEDIATE", "INSERT", "UPDATE")):
                    points.pass_by(sqlite3.OperationalError("database or disk is full"))
                return super().execute(statement, *values)

            def commit(self):
                points.pass_by(sqlite3.OperationalError("database or disk is full"))
                super().commit()
                if points.how == "kill":
                    points.pass_by(None)

        sqlite3.connect = lambda *args, **options: connect(*args, **options, factory=Connection)

    def _wrapped(self, name, call):
        def wrapped(*args, **options):
            writes = name != "open" or (len(args) > 1 and args[1] & (os.O_WRONLY | os.O_RDWR))
            # A full disk still lets files be deleted.
            if writes and not (self.how == "full" and name in {"unlink", "ftruncate"}):
                self.pass_by(OSError(errno.ENOSPC, "No space left on device"))
            return call(*args, **options)

        return wrapped


def count_points(study, told):
    """Carry a study out, and write down how many points it passes."""
    points = Points()
    points.install()
    drive(study, TRIALS)
    told.write_text(str(points.count))


def fail_at(point, how, study):
    Points(point, how).install()
    drive(study, TRIALS)


@pytest.mark.parametrize("how", ["kill", "full"])
def test_whatever_write_fails_nothing_is_lost_and_the_study_goes_on_to_the_same_front(
    how, run_in_copy, front, folder_of, tmp_path
):
    if SHARE == 1:  # what MLflow writes to make its tables is of them, too
        (studies_root() / MLFLOW_STORE).unlink()
    told = tmp_path / "points"
    assert run_in_copy(count_points, "whole", told) == 0
    total = int(told.read_text())
    failed = 0
    for at in range(SHARE // 2, total, SHARE):
        name = f"{how}-{at}"
        failed += run_in_copy(fail_at, at, how, name) != 0
        try:
            breaches = broken_invariants(folder_of(name))
        except StudyError:  # its ledger was not there yet: then there is nothing to lose
            continue
        assert [b for b in breaches if b.mend is None] == [], (at, breaches)
        with contextlib.suppress(StudyError):
            assert run_in_copy(drive, name, TRIALS) in {0, 1}
        with Ledger.open(folder_of(name).ledger_path, read_only=True) as ledger:
            assert ledger.study.outcome is not None, at
        assert front(name) == front("whole"), at
        assert broken_invariants(folder_of(name)) == [], at

    assert total > 100
    assert failed > 0
