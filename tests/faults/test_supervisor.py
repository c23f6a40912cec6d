"""The command line goes on by itself when its driver, or Ray beneath it, is killed."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time

import psutil
import pytest
from crash_loop import SETTINGS

from autodepth.errors import StudyError
from autodepth.records.driver_lock.lock import driver_of
from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder, studies_root

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("with_a_store"),
]


@pytest.fixture
def searching():
    """Return what starts a search as a person does, and ends it with the test."""
    started = []

    def start(name, *more, trials=6):
        command = [sys.executable, "-m", "autodepth", "search", "--study", name]
        command += [f"--budget={trials}trials", *(f"--set={s}" for s in SETTINGS), *more]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process, StudyFolder(studies_root() / name)

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
        with process:
            process.communicate(timeout=200)


def complete(folder):
    if not folder.ledger_path.exists():
        return 0
    try:
        with Ledger.open(folder.ledger_path, read_only=True) as ledger:
            return sum(record.result is not None for record in ledger.trials())
    except (StudyError, sqlite3.Error):  # it is just being made
        return 0


def wait_for(condition, seconds=400):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def kill_driver(search, driver):
    os.kill(driver, signal.SIGKILL)


def new_driver(folder, old):
    """Return whether a process other than the old one drives a study."""
    now = driver_of(folder)
    return now is not None and now.pid != old


def kill_head(search, driver):
    """Kill the process without which Ray ends the driver, with no exception."""
    below = psutil.Process(driver).children(recursive=True)
    (head,) = [process for process in below if process.name() == "gcs_server"]
    head.kill()


@pytest.mark.parametrize("kill", [kill_driver, pytest.param(kill_head, marks=pytest.mark.long)])
def test_a_search_whose_driver_dies_goes_on_by_itself(kill, searching, observed):
    search, folder = searching("survivor")
    wait_for(lambda: complete(folder) >= 1)
    driver = driver_of(folder).pid
    before = psutil.Process(search.pid).children(recursive=True)
    begun = time.monotonic()
    kill(search, driver)
    wait_for(lambda: new_driver(folder, driver) or search.poll() is not None)
    ended = complete(folder)  # a driver whose Ray dies may enter another one before it ends
    wait_for(lambda: complete(folder) > ended or search.poll() is not None)
    fault = "the driver is killed" if kill is kill_driver else "Ray's head is killed"
    observed(fault, "until the next trial is complete", time.monotonic() - begun)
    out, err = search.communicate(timeout=400)

    assert driver != search.pid
    assert search.returncode == 0, err
    assert re.search(r"the driver of survivor died \(.*\); a new one goes on with it", err)
    assert "Traceback" not in out
    assert broken_invariants(folder) == []
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        assert ledger.study.outcome == "the budget was spent"
        assert sum(record.counts for record in ledger.trials()) == 6
    psutil.wait_procs(before, timeout=20)
    assert not [process for process in before if process.is_running()]


@pytest.mark.long
def test_a_driver_without_its_supervisor_ends_in_order(searching):
    search, folder = searching("orphan", trials=200)
    wait_for(lambda: complete(folder) >= 1)
    driver = psutil.Process(driver_of(folder).pid)
    search.kill()
    driver.wait(60)

    assert driver_of(folder) is None
    assert broken_invariants(folder) == []
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        assert ledger.study.outcome == "interrupted"


@pytest.mark.long
def test_a_second_search_of_the_same_study_is_refused(searching):
    _, folder = searching("busy", trials=200)
    wait_for(lambda: folder.path.exists() and driver_of(folder) is not None)
    second = subprocess.run(
        [sys.executable, "-m", "autodepth", "resume", "busy"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert second.returncode == os.EX_TEMPFAIL
    assert "a study has one driver at a time, but process" in second.stderr
    assert "Traceback" not in second.stderr
