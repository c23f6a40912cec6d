"""Studies on a file system that takes nothing from the start: they can be read, and not gone on."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest
from crash_loop import SETTINGS, drive, start_copy

from autodepth.errors import StorageError, StudyError
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder, create_study_folder, studies_root
from autodepth.service.search.resume import resume
from autodepth.service.search.search import search
from autodepth.trial.result import TrialState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SMALL = [f"--set={setting}" for setting in SETTINGS]


def trials_of(name):
    try:
        with Ledger.open(StudyFolder(studies_root() / name).ledger_path, read_only=True) as ledger:
            return ledger.trials()
    except StudyError:  # it is just being made
        return []


def running(name):
    return any(record.state is TrialState.RUNNING for record in trials_of(name))


def completed(name):
    return sum(record.result is not None for record in trials_of(name))


def kill_within_a_trial(driver, name):
    """Kill a driver that has left something to be mended: it is stopped while that is looked up."""
    while True:
        os.kill(driver.pid, signal.SIGSTOP)
        if running(name):
            break
        os.kill(driver.pid, signal.SIGCONT)
        time.sleep(0.05)
    driver.kill()
    driver.join()


@pytest.fixture
def read_only(remount, run_in_copy):
    """A study that has ended and one that was killed, on a file system that then takes nothing."""
    remount("size=200m")
    assert run_in_copy(drive, "whole", 2) == 0
    killed = start_copy(drive, "killed", 200)
    while not completed("killed"):
        time.sleep(0.05)
    kill_within_a_trial(killed, "killed")
    remount("ro")
    return remount


@pytest.mark.usefixtures("read_only")
def test_what_has_to_write_ends_with_74_and_says_where_and_what_to_do(autodepth):
    """Row 10: nothing is begun, nothing of what there is changes."""
    told = {
        "new": autodepth("search", "--budget=1trials", "--study=new", *SMALL),
        "whole": autodepth("resume", "whole", "--budget=+1trials"),
        "killed": autodepth("resume", "killed"),
    }
    others = {
        "sync": autodepth("sync", "whole"),
        "repair": autodepth("fsck", "killed", "--repair"),
        "report": autodepth("report", "whole", "--to", studies_root() / "report.html"),
    }

    for name, done in told.items():
        assert done.returncode == os.EX_IOERR, done.stderr
        assert f"but {studies_root() / name}: Read-only file system;" in done.stderr
    for name in ("whole", "killed"):
        assert f"`autodepth resume {name}` goes on" in told[name].stderr
    assert "make the folder writable" in told["new"].stderr
    assert "AUTODEPTH_HOME" in told["new"].stderr
    for done in others.values():
        assert done.returncode == os.EX_IOERR, done.stderr
        assert str(studies_root()) in done.stderr
    assert not [d.stderr for d in (*told.values(), *others.values()) if "Traceback" in d.stderr]


def test_what_only_reads_works_and_the_study_goes_on_once_it_can_be_written(
    read_only, autodepth, observed, tmp_path
):
    entered = {name: len(trials_of(name)) for name in ("whole", "killed")}
    listed = autodepth("studies", "--json")
    status = {name: autodepth("status", name, "--json") for name in ("whole", "killed")}
    done = [
        listed,
        *status.values(),
        autodepth("front", "whole"),
        autodepth("front", "killed"),
        autodepth("report", "whole", "--to", tmp_path / "report.html"),
        autodepth("save", "killed", tmp_path / "killed.tar.gz"),
        autodepth("fsck", "whole"),
    ]
    with explorer_of(tmp_path) as ask:
        shown = {each["study"]: ask(f"studies/{each['study']}/status") for each in ask("studies")}
    read_only("rw")
    begun = time.monotonic()
    after = resume("whole", budget="+1trials", runner="in-process")
    observed("the folder is read-only", "from the change to the end", time.monotonic() - begun)

    assert [(each.args, each.stderr) for each in done if each.returncode] == []
    assert {each["study"] for each in json.loads(listed.stdout)} == {"whole", "killed"}
    assert "left out" not in listed.stderr
    trials = {name: sum(json.loads(s.stdout)["trials"].values()) for name, s in status.items()}
    assert trials == entered
    assert "whole" in (tmp_path / "report.html").read_text()
    assert {name: sum(each["trials"].values()) for name, each in shown.items()} == trials
    assert after.complete == completed("whole") == 3


class explorer_of:  # noqa: N801 - a context
    """The dashboard in a process of its own; gives what asks it."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "autodepth", "dashboard", "--port", "0"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder,
        )  # fmt: skip

    def __enter__(self):
        address = self.process.stdout.readline().split()[-1].rstrip("/")

        def ask(what):
            with urllib.request.urlopen(f"{address}/api/v1/{what}", timeout=120) as answer:
                return json.loads(answer.read())

        return ask

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate()


def fill(path):
    """Write a file until the disk takes no more."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def test_a_disk_that_is_full_from_the_start_can_be_read_too(remount, make_recorded, autodepth):
    folder = make_recorded("recorded", [(0.9, 10**7, 5.0)])
    fill(studies_root() / "filler")
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        trials = len(ledger.trials())
    shown = autodepth("status", "recorded")
    begun = autodepth("search", "--budget=1trials", "--study=new", *SMALL)

    assert trials == 1
    assert shown.returncode == 0, shown.stderr
    assert begun.returncode == os.EX_IOERR, begun.stderr
    assert "No space left on device" in begun.stderr
    assert "Traceback" not in begun.stderr


def test_the_library_says_so_by_an_error_of_its_own(remount):
    remount("ro")
    with pytest.raises(StorageError, match=r"but .*/new: Read-only file system; nothing was begun"):
        create_study_folder("new")
    with pytest.raises(StorageError, match="Read-only file system"):
        search(budget="1trials", study="new", settings=SETTINGS, runner="in-process")
