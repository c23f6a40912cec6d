"""Ctrl-C on a real terminal, and the signals by which systems end what runs on them."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

import psutil
import pytest
from crash_loop import SETTINGS

from autodepth.errors import StudyError
from autodepth.lived_time import LOOK_SECONDS
from autodepth.records.driver_lock.lock import driver_of
from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder, find_study, studies_root
from autodepth.trial.result import TrialState

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("with_a_store")]
CTRL_C, CTRL_Z = b"\x03", b"\x1a"
PATIENCE = 240


class Terminal:
    """A search at a terminal of its own, as a person sees it."""

    def __init__(self, name):
        command = [sys.executable, "-m", "autodepth", "search", "--budget=200trials"]
        command += [f"--study={name}", *(f"--set={setting}" for setting in SETTINGS)]
        self.pid, self.end = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, {**os.environ, "TERM": "xterm", "COLUMNS": "100"})
        self.shown = b""

    def read_until(self, text):
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown[-2000:]
            self._read(1.0)

    def status(self):
        """Return the exit status, having read what there was to read."""
        deadline = time.monotonic() + PATIENCE
        while (ended := os.waitpid(self.pid, os.WNOHANG)) == (0, 0):
            assert time.monotonic() < deadline, self.shown[-2000:]
            self._read(0.2)
        self._read(0.2)
        return os.waitstatus_to_exitcode(ended[1])

    def _read(self, seconds):
        with contextlib.suppress(OSError):  # the other end is closed
            while select.select([self.end], [], [], seconds)[0]:
                if not (more := os.read(self.end, 65536)):
                    return
                self.shown += more
                seconds = 0

    def leave(self):
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGTERM)
            os.waitpid(self.pid, 0)
        os.close(self.end)


@pytest.fixture
def terminal():
    opened = []

    def open_one(name):
        opened.append(Terminal(name))
        return opened[-1]

    yield open_one
    for each in opened:
        each.leave()


def elapsed(begun):
    return time.monotonic() - begun


def complete(name):
    try:
        with Ledger.open(studies_root() / name / "ledger.sqlite", read_only=True) as ledger:
            return sum(record.result is not None for record in ledger.trials())
    except StudyError:
        return 0


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def cursor_is_shown(shown):
    told = re.findall(rb"\x1b\[\?25[lh]", shown)
    return bool(told) and told[-1] == b"\x1b[?25h"


def processes_of(pid):
    return psutil.Process(pid).children(recursive=True)


def all_gone(processes):
    psutil.wait_procs(processes, timeout=30)
    return not [process for process in processes if process.is_running()]


@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.long)])
def test_ctrl_c_at_a_terminal_ends_in_order_once_and_at_once_twice(times, terminal, observed):
    """Row 16. The terminal is left as it was: the cursor is back."""
    at = terminal("typed")
    at.read_until(b"1 complete")
    below = processes_of(at.pid)
    for _ in range(times):
        time.sleep(0.5)
        begun = time.monotonic()
        os.write(at.end, CTRL_C)
    status = at.status()
    fault = "Ctrl-C at a terminal, once and twice"
    observed(fault, f"from the last of {times}, until it has ended", elapsed(begun))

    assert status == 130
    assert (b"interrupted at once" in at.shown) == (times == 2)
    assert b"\x1b[?25l" in at.shown  # it was hidden
    assert cursor_is_shown(at.shown)
    assert b"Traceback" not in at.shown
    assert all_gone(below)
    if times == 1:
        assert broken_invariants(find_study("typed")) == []


def shell_told_stopped(at):
    """Whether a shell would be told that the command was stopped; it is read meanwhile."""
    at._read(0.2)
    return os.waitpid(at.pid, os.WNOHANG | os.WUNTRACED) != (0, 0)


@pytest.mark.long
def test_ctrl_z_stops_everything_and_a_shell_that_continues_the_command_continues_it_all(terminal):
    at = terminal("paused")
    at.read_until(b"1 complete")
    os.write(at.end, CTRL_Z)
    wait_for(lambda: shell_told_stopped(at))
    below = processes_of(at.pid)
    names = {process.name() for process in below}
    wait_for(lambda: all(process.status() == psutil.STATUS_STOPPED for process in below))
    before = complete("paused")
    shown = cursor_is_shown(at.shown)
    time.sleep(2 * LOOK_SECONDS)  # a search that went on would go on in this
    after = complete("paused")
    os.kill(at.pid, signal.SIGCONT)  # as `fg` does
    wait_for(lambda: complete("paused") > before or at._read(0.2))
    os.write(at.end, CTRL_C)
    status = at.status()

    assert {"gcs_server", "raylet"} <= names
    assert any(name.startswith("ray::Implicit") for name in names)  # a worker
    assert (after, shown) == (before, True)
    assert status == 130
    assert b"died" not in at.shown
    assert all_gone(below)
    assert broken_invariants(find_study("paused")) == []
    with Ledger.open(find_study("paused").ledger_path, read_only=True) as ledger:
        states = {record.state for record in ledger.trials()}
    assert TrialState.FAILED not in states


def search(name):
    return subprocess.Popen(
        [sys.executable, "-m", "autodepth", "search", "--budget=200trials", f"--study={name}",
         *(f"--set={setting}" for setting in SETTINGS)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP])
def test_notice_of_a_time_limit_ends_a_search_in_order(number, observed):
    """Row 17, the process that a batch system started."""
    found = search("notice")
    wait_for(lambda: complete("notice") >= 1)
    below = processes_of(found.pid)
    begun = time.monotonic()
    found.send_signal(number)
    _, said = found.communicate(timeout=PATIENCE)
    fault = "SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 to the command"
    observed(fault, "until it has ended", elapsed(begun))

    assert found.returncode == 143, said
    assert all_gone(below)
    assert broken_invariants(find_study("notice")) == []
    with Ledger.open(find_study("notice").ledger_path, read_only=True) as ledger:
        assert ledger.study.outcome == "interrupted"


@pytest.mark.long
def test_sigterm_to_a_worker_and_then_to_the_driver_itself(observed):
    """Row 17, the two processes below: a worker is replaced, a driver ends in order."""
    found = search("below")
    folder = StudyFolder(studies_root() / "below")
    wait_for(lambda: complete("below") >= 1)
    driver = psutil.Process(driver_of(folder).pid)
    workers = [p for p in driver.children(recursive=True) if "ImplicitFunc" in p.name()]
    for worker in workers:
        worker.terminate()
    before = complete("below")
    wait_for(lambda: complete("below") > before + 1)
    begun = time.monotonic()
    driver.terminate()
    _, said = found.communicate(timeout=PATIENCE)
    observed("SIGTERM to a worker, to the driver", "until it has ended", elapsed(begun))

    assert workers
    assert found.returncode == 143, said
    assert "a new one goes on" not in said  # it was asked to end
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        states = {record.state for record in ledger.trials()}
    assert TrialState.RUNNING not in states
    assert broken_invariants(folder) == []
