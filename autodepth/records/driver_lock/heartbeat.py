"""Heartbeat in a study's lock: which process drives it, and when it last renewed its name.

A lock says that a process is there, not that it does anything: one that was stopped, or whose
machine fell off the network, keeps it. So a driver renews its name every few seconds, and one that
has not for long may be driven past (`autodepth resume --takeover`). What keeps it from writing when
it wakes up is not this file but the token in the ledger.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from autodepth.records.trial_record import utc_now

RENEWED_SECONDS = 2.0
"""How often a driver shows that it lives."""
LEASE_SECONDS = 30.0
"""After how long without that a driver counts as dead."""
_LOOK_SECONDS = 0.1
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_LENGTH = 1024  # bytes of a name, always the same: one write of it is seen whole


@dataclass(frozen=True, kw_only=True)
class Driver:
    """The process that drives a study.

    Args:
        pid: its number on its host; 0 if it could not be read.
        host: the name of its host.
        since: ISO 8601, UTC.
        boot: which start of its host it runs in; empty where nothing tells.
        renewed: seconds on its host's clock that only rises, when it last showed that it lives.
        ending: whether it drives no longer than it takes to end.
    """

    pid: int
    host: str
    since: str
    boot: str = ""
    renewed: float = field(default=0.0, compare=False)
    ending: bool = field(default=False, compare=False)

    @property
    def age(self) -> float | None:
        """Seconds since it last showed that it lives; None from another machine's clock."""
        return time.monotonic() - self.renewed if self.boot and self.boot == _boot() else None


class Lease:
    """The name of this process in a lock that it holds, renewed until `end`.

    Args:
        handle: of the lock, open for writing.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._driver = Driver(
            pid=os.getpid(), host=socket.gethostname(), since=utc_now(), boot=_boot()
        )
        self._over = threading.Event()
        self._write()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def tell_ending(self) -> None:
        """Let others know that this process is about to end; safe in a signal handler."""
        if not self._driver.ending:
            self._driver = replace(self._driver, ending=True)
            with contextlib.suppress(OSError):
                self._write()

    def end(self) -> None:
        """Stop the heartbeat and remove the name from the lock."""
        self._over.set()
        self._thread.join()
        os.ftruncate(self._handle, 0)

    def _renew(self) -> None:
        while not self._over.wait(RENEWED_SECONDS):
            with contextlib.suppress(OSError):  # a full disk is told by what has to be written
                self._write()

    def _write(self) -> None:
        name = {**asdict(self._driver), "renewed": time.monotonic()}
        os.pwrite(self._handle, json.dumps(name).ljust(_LENGTH).encode(), 0)


def read_driver(handle: int) -> Driver | None:
    """Return the name in a lock; None where there is none yet."""
    try:
        return Driver(**json.loads(os.pread(handle, _LENGTH, 0)))
    except (ValueError, TypeError):
        return None


def is_dead(handle: int) -> bool:
    """Whether the holder of a lock has not shown for `LEASE_SECONDS` that it lives.

    The clocks of two machines need not agree: a holder elsewhere is watched for that long.
    """
    driver = read_driver(handle)
    if driver is not None and driver.age is not None:
        return driver.age > LEASE_SECONDS
    before, deadline = os.pread(handle, _LENGTH, 0), time.monotonic() + LEASE_SECONDS
    while time.monotonic() < deadline:
        if os.pread(handle, _LENGTH, 0) != before:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def _boot() -> str:
    with contextlib.suppress(OSError):
        return _BOOT.read_text().strip()
    return ""
