"""Two drivers of one study: exactly one runs, at any time."""

import contextlib
import datetime as dt
import os
import signal
import sqlite3
import subprocess
import sys
import time
from multiprocessing.connection import wait

import psutil
import pytest
from crash_loop import SETTINGS, drive, front_of, start_copy

from autodepth.errors import StorageError, StudyError, StudyInUseError
from autodepth.records import trial_record
from autodepth.records.driver_lock import heartbeat
from autodepth.records.driver_lock.lock import DriverLock, driver_of
from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger, database
from autodepth.records.studies import (
    MLFLOW_STORE,
    StudyFolder,
    create_study_folder,
    find_study,
    studies_root,
)
from autodepth.service.search.resume import resume

TURNS = 10 if "AUTODEPTH_FAULT_SHARE" not in os.environ else 50  # with it in `make faults`


def drive_until(end, folder, log):
    """Try to drive a study; write down that it was possible, and hold it until a file is there."""
    try:
        with DriverLock(folder):
            with log.open("a") as file:
                file.write(f"{os.getpid()}\n")
            while not end.exists():
                time.sleep(0.001)
    except StudyInUseError:
        sys.exit(75)


def test_of_two_started_at_once_exactly_one_runs_every_time(tmp_path, observed):
    folder = create_study_folder("contested")
    for turn in range(TURNS):
        log, end = tmp_path / f"log-{turn}", tmp_path / f"end-{turn}"
        begun = time.monotonic()
        both = [start_copy(drive_until, end, folder, log) for _ in "ab"]
        wait([each.sentinel for each in both])
        observed("two drivers at once", "until one has ended", time.monotonic() - begun)
        (loser,) = [each for each in both if not each.is_alive()]
        (winner,) = set(both) - {loser}
        assert loser.exitcode == 75
        assert driver_of(folder).pid == winner.pid
        end.touch()
        winner.join()
        assert winner.exitcode == 0
        assert log.read_text() == f"{winner.pid}\n"
        assert driver_of(folder) is None


def test_one_that_is_killed_makes_way_at_once(tmp_path):
    folder = create_study_folder("left")
    first = start_copy(drive_until, tmp_path / "never", folder, tmp_path / "log")
    while driver_of(folder) is None:
        time.sleep(0.001)
    first.kill()
    first.join()
    begun = time.monotonic()
    with DriverLock(folder):
        waited = time.monotonic() - begun

    assert waited < heartbeat.LEASE_SECONDS  # what it would wait for one that may live


def drive_or_say_so(study, trials):
    try:
        drive(study, trials)
    except StudyInUseError as error:
        (studies_root() / "said.txt").write_text(str(error))
        sys.exit(75)


class OffClock(dt.datetime):
    """A clock that is some days off."""

    off = dt.timedelta()

    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + cls.off


def drive_with_clock(days, study, trials):
    """Drive a study on a host whose clock is days off; to be run in a process of its own."""
    OffClock.off = dt.timedelta(days=days)
    trial_record.datetime = OffClock
    time.time = lambda real=time.time: real() + OffClock.off.total_seconds()
    drive_or_say_so(study, trials)


def everything(name):
    with contextlib.closing(sqlite3.connect(studies_root() / name / "ledger.sqlite")) as ledger:
        return list(ledger.iterdump())


def completed(name):
    try:
        with Ledger.open(studies_root() / name / "ledger.sqlite", read_only=True) as ledger:
            return sum(record.result is not None for record in ledger.trials())
    except StudyError:  # it is just being made
        return 0


def is_free(path):
    """Whether nobody is within a write to a database."""
    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        database.rollback()
        return True


def stop_between_writes(pid, name):
    """Stop a driver that holds nothing of the ledger or of MLflow's store at that moment."""
    databases = studies_root() / name / "ledger.sqlite", studies_root() / MLFLOW_STORE
    while True:
        os.kill(pid, signal.SIGSTOP)
        if all(map(is_free, databases)):
            return
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.01)


def stop_within_a_write(name):
    folder = StudyFolder(studies_root() / name)
    with DriverLock(folder), Ledger.open(folder.ledger_path) as ledger:
        ledger.begin_driving()
        with ledger.database.transaction():
            os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.slow
@pytest.mark.usefixtures("with_a_store")
def test_a_driver_that_was_stopped_within_a_write_is_named_and_once_it_ended_the_study_goes_on(
    monkeypatch,
):
    drive("held", 2)
    held = start_copy(stop_within_a_write, "held")
    while psutil.Process(held.pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)
    before = everything("held")
    monkeypatch.setattr(heartbeat, "LEASE_SECONDS", 0.1)
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    with pytest.raises(StorageError, match=f"is locked; .* `kill -9 {held.pid}` there ends it"):
        resume("held", budget="+1trials", runner="in-process", takeover=True)
    held.kill()
    held.join()
    assert everything("held") == before

    assert resume("held", budget="+1trials", runner="in-process").complete == 3
    assert broken_invariants(find_study("held")) == []


@pytest.mark.slow
@pytest.mark.usefixtures("with_a_store")
def test_a_driver_that_was_stopped_and_taken_over_enters_nothing_when_it_goes_on(
    monkeypatch, observed
):
    """Row 18 of the faults: SIGSTOP the first, take over, SIGCONT."""
    trials = 4
    whole = start_copy(drive, "whole", trials)
    first = start_copy(drive_or_say_so, "hung", trials)
    while completed("hung") < 1:
        time.sleep(0.01)
    stop_between_writes(first.pid, "hung")
    with pytest.raises(StudyInUseError, match="has driven hung since"):
        resume("hung", runner="in-process")
    with monkeypatch.context() as patch:
        patch.setattr(heartbeat, "LEASE_SECONDS", 0.1)
        result = resume("hung", runner="in-process", takeover=True)
    before = everything("hung")
    begun = time.monotonic()
    os.kill(first.pid, signal.SIGCONT)
    first.join(120)
    observed(
        "a driver is stopped, taken over, goes on", "until it has ended", time.monotonic() - begun
    )
    whole.join(120)

    assert first.exitcode == 75
    assert "another one took hung over from this one" in (studies_root() / "said.txt").read_text()
    assert everything("hung") == before
    assert result.complete == trials
    assert broken_invariants(find_study("hung")) == []
    assert front_of("hung") == front_of("whole")


@pytest.mark.slow
@pytest.mark.usefixtures("with_a_store")
@pytest.mark.long
@pytest.mark.parametrize("days", [1, -1])
def test_drivers_whose_clocks_are_a_day_apart_follow_each_other(days, monkeypatch, observed):
    """Row 15: the first one's clock neither makes it look dead nor keeps it alive."""
    trials = 4
    whole = start_copy(drive, "whole", trials)
    first = start_copy(drive_with_clock, days, "apart", trials)
    while completed("apart") < 1:
        time.sleep(0.01)
    stop_between_writes(first.pid, "apart")
    with pytest.raises(StudyInUseError, match="--takeover is for drivers that have not for 30 s"):
        resume("apart", runner="in-process", takeover=True)
    with monkeypatch.context() as patch:
        patch.setattr(heartbeat, "LEASE_SECONDS", 0.1)
        begun = time.monotonic()
        result = resume("apart", runner="in-process", takeover=True)
    observed(
        "the clocks of two drivers are a day apart", "from takeover to the end",
        time.monotonic() - begun,
    )  # fmt: skip
    os.kill(first.pid, signal.SIGCONT)
    first.join(120)
    whole.join(120)
    with Ledger.open(find_study("apart").ledger_path, read_only=True) as ledger:
        begun = [dt.datetime.fromisoformat(record.started_at) for record in ledger.trials()]
        spent = [seconds for _, seconds in ledger.endings()]

    assert abs(begun[-1] - begun[0]) > dt.timedelta(hours=23)  # they were apart
    assert first.exitcode == 75
    assert spent == sorted(spent)
    assert result.spent_device_seconds < 3600
    assert result.complete == trials
    assert broken_invariants(find_study("apart")) == []
    assert front_of("apart") == front_of("whole")


@pytest.mark.slow
@pytest.mark.usefixtures("with_a_store")
@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_same_by_the_command_line_under_ray():
    command = [sys.executable, "-m", "autodepth"]
    settings = [f"--set={setting}" for setting in SETTINGS]
    first = subprocess.Popen(
        [*command, "search", "--budget=8trials", "--study=hung", *settings],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while completed("hung") < 1:
        time.sleep(0.1)
    driver = driver_of(StudyFolder(studies_root() / "hung")).pid
    stop_between_writes(driver, "hung")
    resume = [*command, "resume", "hung", "--takeover"]
    time.sleep(heartbeat.LEASE_SECONDS)
    late = subprocess.run(resume, capture_output=True, text=True, timeout=600, check=False)
    before = everything("hung")
    os.kill(driver, signal.SIGCONT)
    _, said = first.communicate(timeout=200)

    assert late.returncode == 0, late.stderr
    assert first.returncode == 75, said
    assert "another one took hung over from this one" in said
    assert "a new one goes on" not in said
    assert everything("hung") == before
    assert broken_invariants(find_study("hung")) == []
