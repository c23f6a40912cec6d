"""Processes that a test starts, waits for and ends, on ports that are free."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

PATIENCE_SECONDS = 240.0  # until a part of a busy machine is there
_SECONDS_TO_END = 90.0  # a node of Ray ends its own processes one by one


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback address that nothing listens on now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def started(
    command: Sequence[str], environment: Mapping[str, str], log: Path, *, user: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a session of its own, and end all of it afterwards.

    Args:
        command: what to run.
        environment: all of it.
        log: takes what it says.
        user: number of the user and group to run as; None for ours.
    """
    own = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    with log.open("wb") as said:
        process = subprocess.Popen(
            command, env=environment, stdout=said, stderr=said, start_new_session=True, **own
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_SECONDS_TO_END)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(is_there: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until something is so; fail with what the process said when it ends before."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_there():
        assert process.poll() is None, f"it ended: {log.read_text()[-3000:]}"
        assert time.monotonic() < end, f"it does not answer: {log.read_text()[-3000:]}"
        time.sleep(0.5)


def answer(url: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Return what a server of this machine answers."""
    with urllib.request.urlopen(
        urllib.request.Request(url, headers=dict(headers or {})), timeout=30
    ) as got:
        return got.read()
