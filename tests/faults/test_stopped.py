"""A search that is stopped, by SIGSTOP or `docker pause`, is charged for the time it lived."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from crash_loop import SETTINGS, drive, start_copy

from autodepth.errors import StudyError
from autodepth.records.driver_lock.lock import driver_of
from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder, find_study, studies_root
from autodepth.trial.result import TrialState

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("with_a_store")]
STOPPED_SECONDS = 8.0
PATIENCE = 240


class Watched:
    """A study that another process drives, with when it was seen how far."""

    def __init__(self, name):
        self.folder = StudyFolder(studies_root() / name)

    def complete(self):
        try:
            with Ledger.open(self.folder.ledger_path, read_only=True) as ledger:
                return sum(record.result is not None for record in ledger.trials())
        except StudyError:  # it is just being made
            return 0

    def seen_complete(self, trials):
        """Wait for so many; return when there were fewer, and the seconds it had spent then."""
        deadline, before = time.monotonic() + PATIENCE, time.monotonic()
        while self.complete() < trials:
            assert time.monotonic() < deadline
            before = time.monotonic()
            time.sleep(0.02)
        return before, self.elapsed()

    def elapsed(self):
        """Return the seconds that were charged of every device."""
        with Ledger.open(self.folder.ledger_path, read_only=True) as ledger:
            spent = [seconds for _, seconds in ledger.endings()]
            return spent[-1] / ledger.study.plan["devices"]

    def records(self):
        with Ledger.open(find_study(self.folder.name).ledger_path, read_only=True) as ledger:
            return ledger.trials()


def stop(processes):
    for process in processes:
        process.send_signal(signal.SIGSTOP)


def go_on(processes):
    for process in reversed(processes):
        process.send_signal(signal.SIGCONT)


@pytest.mark.long
def test_a_driver_that_was_stopped_is_not_charged_for_it_and_loses_no_trial():
    study = Watched("slept")
    driver = start_copy(drive, "slept", 4)
    before, spent_before = study.seen_complete(1)
    os.kill(driver.pid, signal.SIGSTOP)  # a busy machine may take its time over that
    time.sleep(STOPPED_SECONDS)
    os.kill(driver.pid, signal.SIGCONT)
    study.seen_complete(4)
    after, spent = time.monotonic(), study.elapsed()
    driver.join(PATIENCE)

    assert spent - spent_before <= after - before - STOPPED_SECONDS / 2
    assert driver.exitcode == 0
    assert {record.state for record in study.records()} == {TrialState.COMPLETE}
    assert all(record.device_seconds < PATIENCE for record in study.records())
    assert broken_invariants(study.folder) == []


def all_of(driver):
    return [driver, *driver.children(recursive=True)]


def workers_of(driver):
    return [p for p in driver.children(recursive=True) if p.name().startswith("ray::Implicit")]


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("which", [all_of, workers_of], ids=["everything", "every worker"])
def test_on_ray_too(which):
    """A worker that is stopped alone keeps its trial, too."""
    study, stopped = Watched("slept"), 20
    command = [sys.executable, "-m", "autodepth", "search", "--budget=8trials", "--study=slept"]
    command += [f"--set={setting}" for setting in SETTINGS]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as search:
        before, spent_before = study.seen_complete(2)
        processes = which(psutil.Process(driver_of(study.folder).pid))
        stop(processes)
        time.sleep(stopped)
        go_on(processes)
        while study.complete() < 8 and search.poll() is None:
            time.sleep(0.02)
        after, spent = time.monotonic(), study.elapsed()
        _, said = search.communicate(timeout=PATIENCE)

    assert processes
    assert {(record.state, record.reason) for record in study.records()} == {
        (TrialState.COMPLETE, None)
    }
    assert spent - spent_before <= after - before - stopped / 2
    assert search.returncode == 0, said
    assert "died" not in said
    assert broken_invariants(study.folder) == []
