"""Who drives a study, and what a person wishes of that process while it runs.

driver.lock    locked by the driver for as long as it lives; the kernel lets go when it dies
wishes.json    what other processes wish of it; absent while nobody wishes anything
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from autodepth.atomic import write_atomically
from autodepth.errors import InputError, StudyError, StudyInUseError
from autodepth.records.studies import StudyFolder
from autodepth.records.trial_record import utc_now

LOCK_FILE, WISHES_FILE, WISHES_LOCK_FILE = "driver.lock", "wishes.json", "wishes.lock"
# Whoever looks at the lock holds it for microseconds, so a driver asks again for that long, and
# whoever finds it taken waits that long for the driver to write its name.
_PATIENCE_SECONDS, _PAUSE_SECONDS = 0.5, 0.01
_LONGEST = 4096  # bytes of a name or of wishes

_held: set[int] = set()  # handles of the locks this process holds


def _let_go_in_child() -> None:
    """Close what a fork copied: a child that outlives the driver would go on holding its lock."""
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)


@dataclass(frozen=True, kw_only=True)
class Driver:
    """The process that drives a study.

    Args:
        pid: its number on its host; 0 if it could not be read.
        host: the name of its host.
        since: ISO 8601, UTC.
    """

    pid: int
    host: str
    since: str


class DriverLock:
    """The right to drive a study: one process at a time has it, as a context.

    Taking it forgets the wishes that were meant for an earlier driver.

    Args:
        folder: the study's folder, which must exist.

    Raises:
        StudyInUseError: on entering, another process drives the study.
        StudyError: on entering, the file system has no locks.
    """

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder
        self._handle = -1

    def __enter__(self) -> Self:
        handle = os.open(self._folder.path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._take(handle)
            # In this order: who sees the new name may wish, and that wish is not forgotten.
            os.ftruncate(handle, 0)
            forget_wishes(self._folder)
            driver = Driver(pid=os.getpid(), host=socket.gethostname(), since=utc_now())
            os.pwrite(handle, json.dumps(asdict(driver)).encode(), 0)
        except BaseException:
            os.close(handle)
            raise
        _held.add(handle)
        self._handle = handle
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._handle in _held:  # not in a child that was forked meanwhile
            _held.remove(self._handle)
            os.ftruncate(self._handle, 0)
            os.close(self._handle)

    def _take(self, handle: int) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not _try_lock(handle, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                driver = driver_of(self._folder)
                who = f"process {driver.pid} on {driver.host}" if driver else "another process"
                raise StudyInUseError(
                    f"a study has one driver at a time, but {who} has driven {self._folder.name} "
                    f"since {driver.since if driver else 'just now'}"
                )
            time.sleep(_PAUSE_SECONDS)


def driver_of(folder: StudyFolder) -> Driver | None:
    """Return the process that drives a study now, None if there is none; disturbs nobody."""
    try:
        handle = os.open(folder.path / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not _try_lock(handle, fcntl.LOCK_SH):
            if driver := _read_driver(handle):
                return driver
            if time.monotonic() > deadline:
                return Driver(pid=0, host="an unknown host", since="an unknown time")
            time.sleep(_PAUSE_SECONDS)
        return None
    finally:
        os.close(handle)


def _try_lock(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StudyError(
            f"a study's folder must be on a file system with locks, but: {error}"
        ) from error
    return True


def _read_driver(handle: int) -> Driver | None:
    try:
        return Driver(**json.loads(os.pread(handle, _LONGEST, 0)))
    except (ValueError, TypeError):  # not written yet
        return None


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What people wish of a running driver.

    Args:
        stop: to end the study early and in order.
        concurrency: to run so many trials at a time, at least 1; None for as many as planned.

    Raises:
        InputError: a value is of another type or out of range.
    """

    stop: bool = False
    concurrency: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.stop, bool):
            raise InputError(f"stop must be true or false, but got {self.stop!r}")
        if self.concurrency is not None and (
            type(self.concurrency) is not int or self.concurrency < 1
        ):
            raise InputError(f"concurrency must be at least 1, but got {self.concurrency!r}")


def read_wishes(folder: StudyFolder) -> Wishes:
    """Return the wishes now; none where the file is absent or cannot be read.

    It costs one failed `open` while nobody wishes anything, so it may be asked many times a second.
    """
    try:
        handle = os.open(folder.path / WISHES_FILE, os.O_RDONLY)
    except OSError:
        return Wishes()
    try:
        return Wishes(**json.loads(os.read(handle, _LONGEST)))
    except (OSError, ValueError, TypeError, RecursionError):
        return Wishes()
    finally:
        os.close(handle)


def wish(folder: StudyFolder, **changes: Any) -> Wishes:
    """Add wishes to those there are, and return all of them.

    Args:
        folder: the study's folder.
        changes: fields of `Wishes`.

    Raises:
        InputError: a value is out of range.
    """
    with _alone(folder.path / WISHES_LOCK_FILE):
        wishes = replace(read_wishes(folder), **changes)
        write_atomically(folder.path / WISHES_FILE, json.dumps(asdict(wishes)))
    return wishes


def forget_wishes(folder: StudyFolder) -> None:
    """Take all wishes back."""
    with _alone(folder.path / WISHES_LOCK_FILE):
        (folder.path / WISHES_FILE).unlink(missing_ok=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time into the block: of two wishes at once, none may be lost."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
