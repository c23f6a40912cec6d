"""The process that carries one attempt at a work out, and outlives the server.

It holds the work's lock, as does the process it starts: as long as either lives, the kernel says
so to every server that comes. How the attempt ended is a file that is there whole or not at all.

    python -m autodepth.service.queue.carrying.carrier FOLDER ATTEMPT HANDLE CPUS COMMAND...
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

from autodepth.atomic import write_atomically

LOCK_FILE, LOG_FILE = "lock", "log.txt"
_END = "end-{attempt}.json"
_ANSWER = "answer-{attempt}.json"
_TRACEBACK = "Traceback (most recent call last)"
_LONGEST_TOLD = 4000  # characters of an error
_TOLD_LINES = 20


def start_attempt(
    folder: Path,
    attempt: int,
    command: Sequence[str],
    environment: Mapping[str, str],
    lock: int,
    cpus: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start the process of an attempt; it goes on without this one.

    Args:
        folder: of the work.
        attempt: counted from 1.
        command: words of `autodepth`.
        environment: what it finds there besides.
        lock: the work's, held; it is closed here, and held there.
        cpus: that it may use; none leaves all.
    """
    try:
        with (folder / LOG_FILE).open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-P", "-m", __name__, str(folder), str(attempt), str(lock),
                 ",".join(map(str, cpus)), *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **environment}, pass_fds=[lock], start_new_session=True,
            )  # fmt: skip
    finally:
        os.close(lock)


def take_lock(folder: Path) -> int | None:
    """Return a work's lock, held; None while an attempt at it lives."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def is_carried_out(folder: Path) -> bool:
    """Whether an attempt at a work lives."""
    handle = take_lock(folder)
    if handle is None:
        return True
    os.close(handle)
    return False


def status_of(folder: Path, attempt: int) -> int | None:
    """Return the exit status of an attempt that ended; None of one that died, or lives."""
    try:
        return int(json.loads((folder / _END.format(attempt=attempt)).read_bytes())["status"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def starts_in_vain(folder: Path, attempt: int, status: int) -> int:
    """Return how many attempts in a row, up to this one, ended with a status."""
    earlier = range(attempt, 0, -1)
    return sum(1 for _ in takewhile(lambda each: status_of(folder, each) == status, earlier))


def answer_of(folder: Path, attempt: int) -> Any:
    """Return the document that an attempt's command printed; None where there is none."""
    try:
        return json.loads((folder / _ANSWER.format(attempt=attempt)).read_bytes())
    except (OSError, ValueError):
        return None


def told_of(folder: Path) -> str:
    """Return the error that the last attempt at a work ended with, else its last lines.

    Of a traceback only its last line is for people; the log has the rest.
    """
    try:
        text = (folder / LOG_FILE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    lines = text.strip().splitlines()
    begun = [place for place, line in enumerate(lines) if line.startswith(("error: ", _TRACEBACK))]
    kept = lines[begun[-1] :] if begun else lines[-_TOLD_LINES:]
    if kept and kept[0].startswith(_TRACEBACK):
        kept = [line for line in kept if not line.startswith(" ")][-1:]
    return "\n".join(kept).removeprefix("error: ")[:_LONGEST_TOLD]


def carry_out(folder: Path, attempt: int, lock: int, command: Sequence[str]) -> int:
    """Run a command of `autodepth` to its end, and enter how it ended."""
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    with (folder / _ANSWER.format(attempt=attempt)).open("wb") as answer:
        done = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-m", "autodepth", *command],
            stdin=subprocess.DEVNULL, stdout=answer, pass_fds=[lock], check=False,
        )  # fmt: skip
    status = done.returncode if done.returncode >= 0 else 128 - done.returncode
    write_atomically(folder / _END.format(attempt=attempt), json.dumps({"status": status}))
    return status


def end_attempt(folder: Path) -> None:
    """Ask the processes of an attempt that drives no study to end."""
    with suppress(OSError, ValueError):
        os.killpg(int((folder / LOCK_FILE).read_text()), signal.SIGTERM)


if __name__ == "__main__":
    _folder, _attempt, _lock, _cpus, *_command = sys.argv[1:]
    if _cpus:
        os.sched_setaffinity(0, map(int, _cpus.split(",")))
    carry_out(Path(_folder), int(_attempt), int(_lock), _command)
