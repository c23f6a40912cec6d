"""The command `autodepth`: runs a study's driver as a child process, and resumes when that dies.

When Ray's head dies, Ray ends the driver without an exception; the system may kill it for memory.
So `search` and `resume` run in a child. A driver that ends in order, well or not, takes its name
out of the study's lock; one whose name is still there has died, and `resume` goes on where it was.
Nothing heavy is imported here: this process waits beside every search.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from autodepth.cli.console import say

_CHILD = "AUTODEPTH_SUPERVISED"
_SAFE = "PYTHONSAFEPATH"  # known to Python: no folder of a script, and not the current one
_DRIVING = ("search", "resume")
_NOT_DRIVING = ("--help", "-h", "--dry-run")
# With a value each.
_CARRIED = ("--tracking-uri", "--notify", "--ray-address", "--storage", "--concurrency")
_MOST_DEATHS = 5  # in a row, without a trial that ended in between
# A batch system may give notice of its time limit by any of the last three.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_FIRST_PAUSE_SECONDS = 1.0  # doubled every time
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # <sys/prctl.h>


def main() -> None:
    """Run the command line; drive studies in a child process."""
    os.environ[_SAFE] = "1"  # what is started here finds no code in the current folder
    arguments = sys.argv[1:]
    drives = arguments[:1] and arguments[0] in _DRIVING and not set(arguments) & {*_NOT_DRIVING}
    if drives and _CHILD not in os.environ:
        sys.exit(_supervise(arguments))
    if os.environ.pop(_CHILD, None):
        _end_with_parent()
    from autodepth.cli.main import main as run

    run()


def _supervise(arguments: Sequence[str]) -> int:
    """Run a command to its end, whatever happens to its process; return its exit status."""
    deaths, ended_before = 0, -1
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    while True:
        status, died = _run(arguments)
        _end_orphans()
        study = _left_by(died) if died and status not in {0, 2, 3} else None
        if study is None:
            return 128 - status if status < 0 else status
        ended = _trials_ended(study)
        deaths = deaths + 1 if ended == ended_before else 1
        ended_before = ended
        if deaths > _MOST_DEATHS:
            say(f"the driver of {study} died {deaths} times in a row: autodepth resume {study}")
            return 1
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        say(f"the driver of {study} died ({how}); a new one goes on with it")
        time.sleep(_FIRST_PAUSE_SECONDS * 2 ** (deaths - 1))
        arguments = ["resume", study, *_carried_over(arguments)]


def _run(arguments: Sequence[str]) -> tuple[int, int | None]:
    """Run one driver; return its exit status, and its number unless a person ended it.

    In a group of its own it gets the signals of the terminal from us only, each of them once, and
    its workers do not get them at all; Ctrl-Z stops all of them.
    """
    child = subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-m", "autodepth", *arguments],
        env={**os.environ, _CHILD: "1"},
        process_group=0,
    )
    with _signals_go_to(child) as asked, _ctrl_z_stops_all():
        status = child.wait()
    if status == -signal.SIGKILL and asked.count(signal.SIGINT) > 1:
        _show_cursor()
        say("interrupted at once; whatever had ended is kept, and `autodepth resume` goes on")
        status = 128 + signal.SIGINT
    return status, None if asked else child.pid


@contextmanager
def _signals_go_to(child: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    asked: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        asked.append(number)
        if asked.count(signal.SIGINT) > 1:  # Ray and MLflow take seconds to be left in order
            child.kill()
            return
        child.send_signal(number if number == signal.SIGINT else signal.SIGTERM)

    previous: dict[int, Any] = {}
    for each in _ENDING:
        if signal.getsignal(each) is not signal.SIG_IGN:  # as under nohup
            previous[each] = signal.signal(each, forward)
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _ctrl_z_stops_all() -> Iterator[None]:
    """Suspend this process and all below it on Ctrl-Z, and continue them together, as by `fg`."""

    def stop(*_: object) -> None:
        stopped: list[int] = []
        while more := [pid for pid in _below(os.getpid()) if pid not in stopped]:
            _send(more, signal.SIGSTOP)  # one that was started meanwhile is found the next time
            stopped += more
        _show_cursor()
        os.kill(os.getpid(), signal.SIGSTOP)
        _send(reversed(stopped), signal.SIGCONT)  # who asks finds awake whom it asks

    before = signal.getsignal(signal.SIGTSTP)
    if before is signal.SIG_DFL:  # else nobody is there to say `fg`
        signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)


def _below(pid: int) -> Iterator[int]:
    """Yield all processes below one, parents before their children."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it ended meanwhile
            for child in map(int, children.read_text().split()):
                yield child
                yield from _below(child)


def _send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _show_cursor() -> None:
    """Give a terminal back what a progress display had hidden."""
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h\n")
        sys.stderr.flush()


def _left_by(pid: int) -> str | None:
    """Return the study whose lock still names a process that has died."""
    import json
    import socket

    from autodepth.records.driver_lock.lock import LOCK_FILE
    from autodepth.records.studies import study_folders

    for folder in study_folders():
        try:
            driver = json.loads((folder.path / LOCK_FILE).read_bytes())
        except (OSError, ValueError):
            continue
        if driver.get("pid") == pid and driver.get("host") == socket.gethostname():
            return folder.name
    return None


def _trials_ended(study: str) -> int:
    from autodepth.errors import AutodepthError
    from autodepth.records.ledger import Ledger
    from autodepth.records.studies import find_study
    from autodepth.trial.result import TrialState

    try:
        with Ledger.open(find_study(study).ledger_path, read_only=True) as ledger:
            counts = ledger.counts()
    except AutodepthError:  # it died before the study was entered
        return 0
    lost = (TrialState.RUNNING, TrialState.FAILED)
    return sum(count for state, count in counts.items() if state not in lost)


def _carried_over(arguments: Sequence[str]) -> list[str]:
    """Return the options of a command that the study does not keep."""
    carried = [word for word in ("--json", "--own-code") if word in arguments]
    if any(word.partition("=")[0] == "--network" for word in arguments):
        carried += [] if "--own-code" in carried else ["--own-code"]  # it was given by a person
    for place, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name in _CARRIED:
            carried += [name, value if equals else arguments[place + 1]]
    return carried


def _end_with_parent() -> None:
    """Have the kernel ask this process to end when its supervisor dies."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end_orphans() -> None:
    """End the processes that a dead driver left running; orphans are given to this process."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    while children.exists() and (orphans := children.read_text().split()):
        for pid in map(int, orphans):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)  # whatever it leaves comes to us in turn


def _prctl(option: int, value: int) -> None:
    import ctypes

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)
