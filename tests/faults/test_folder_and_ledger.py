"""A folder that vanishes, a ledger that another program locks, a clock that jumps."""

import datetime as dt
import subprocess
import sys
import time
from datetime import UTC

import pytest
from crash_loop import SETTINGS

from autodepth.errors import StorageError
from autodepth.records import trial_record
from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger, database
from autodepth.records.studies import find_study, studies_root
from autodepth.service.search.resume import resume
from autodepth.service.search.search import search


def test_a_folder_that_vanishes_ends_the_study_and_it_goes_on_once_it_is_back(observed):
    """Row 10: the ledger stays open under another name, so nothing is lost."""

    class MoveAway:
        def __init__(self, driver):
            self.driver = driver

        def __enter__(self):
            on_report = self.driver.on_report

            def once_one_is_complete(number, report):
                stop = on_report(number, report)
                if self.driver.state.completed and (studies_root() / "moved").exists():
                    (studies_root() / "moved").rename(studies_root() / "elsewhere")
                return stop

            self.driver.on_report = once_one_is_complete

        def __exit__(self, *_):
            del self.driver.on_report

    with pytest.raises(StorageError, match=r"must stay where it is, but .*moved is gone"):
        search(
            budget="4trials", study="moved", settings=SETTINGS, runner="in-process", watch=MoveAway
        )
    (studies_root() / "elsewhere").rename(studies_root() / "moved")
    begun = time.monotonic()
    result = resume("moved", runner="in-process")
    observed("the folder is gone", "from its return to the end", time.monotonic() - begun)

    assert result.complete == 4
    assert broken_invariants(find_study("moved")) == []


HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def hold():
    """Return what lets another process hold a ledger until it is told to let go."""
    started = []

    def hold(path):
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(holder)
        assert holder.stdout.readline() == "held\n"
        return lambda: holder.communicate("")

    yield hold
    for holder in started:
        holder.kill()
        holder.communicate()


def test_a_ledger_that_is_held_is_waited_for_and_not_for_ever(make_recorded, hold, monkeypatch):
    """Row 27: a bounded wait, then an end in order."""
    path = make_recorded("held", [(0.9, 10**7, 5.0)]).ledger_path
    let_go = hold(path)
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.5)
    with Ledger.open(path) as ledger:
        with pytest.raises(StorageError, match="database is locked; what was entered before"):
            ledger.start_trial("search", {}, {})
        assert len(ledger.trials()) == 1  # reading waits for nobody
        let_go()
        assert ledger.start_trial("search", {}, {}) == 1


class Jumping(dt.datetime):
    """A clock that is a day off, another way whenever it is looked at."""

    days = 0

    @classmethod
    def now(cls, tz=None):
        cls.days = -1 if cls.days == 1 else cls.days + 1
        return super().now(tz) + dt.timedelta(days=cls.days)


def test_a_clock_that_jumps_by_days_changes_nothing_but_times(monkeypatch):
    """Row 15: budget, order and lease go by clocks that only rise."""
    with monkeypatch.context() as patch:
        patch.setattr(trial_record, "datetime", Jumping)
        patch.setattr(time, "time", lambda real=time.time: real() + 86_400 * Jumping.days)
        search(budget="2trials", study="jumping", settings=SETTINGS, runner="in-process")
        result = resume("jumping", budget="+1trials", runner="in-process")
    with Ledger.open(find_study("jumping").ledger_path, read_only=True) as ledger:
        begun = [record.started_at for record in ledger.trials()]
        spent = [seconds for _, seconds in ledger.endings()]

    assert begun != sorted(begun)  # it did jump
    assert dt.datetime.fromisoformat(begun[0]).tzinfo == UTC
    assert spent == sorted(spent)
    assert result.spent_device_seconds < 3600
    assert broken_invariants(find_study("jumping")) == []
