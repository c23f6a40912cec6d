"""The lock of a study's driver, and requests to that process while it runs.

driver.lock    locked by the driver for as long as it lives; the kernel lets go when it dies
wishes.json    what other processes wish of it; absent while nobody wishes anything
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from autodepth.atomic import write_atomically
from autodepth.errors import InputError, StudyError, StudyInUseError
from autodepth.records.driver_lock.heartbeat import (
    LEASE_SECONDS,
    Driver,
    Lease,
    is_dead,
    read_driver,
)
from autodepth.records.driver_lock.lock_probe import check_locks_work
from autodepth.records.storage import taking
from autodepth.records.studies import StudyFolder

LOCK_FILE, WISHES_FILE, WISHES_LOCK_FILE = "driver.lock", "wishes.json", "wishes.lock"
# Whoever looks at the lock holds it for microseconds, so a driver asks again for that long, and
# whoever finds it taken waits that long for the driver to write its name.
_PATIENCE_SECONDS, _PAUSE_SECONDS = 0.5, 0.01
# A driver that was told to end says so within moments, and leaves Ray and MLflow in order.
_MOMENT_SECONDS, _ENDING_SECONDS = 3.0, 60.0
_LONGEST = 4096  # bytes of wishes

_log = logging.getLogger(__name__)
# Handles of the locks this process holds: of which folder, and with what name in it.
_held: dict[int, tuple[Path, Lease]] = {}


def _let_go_in_child() -> None:
    """Close what a fork copied: a child that outlives the driver would go on holding its lock."""
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)


class DriverLock:
    """The right to drive a study: one process at a time has it, as a context.

    Taking it forgets the wishes that were meant for an earlier driver.

    Args:
        folder: the study's folder, which must exist.
        takeover: whether to take it from a process that holds it and is dead, see `heartbeat.py`.
            The ledger must then be opened by `Ledger.begin_driving`, which keeps that one from
            writing.
        wait: whether to wait for a driver that is about to end, for a minute at most.

    Raises:
        StudyInUseError: on entering, another process drives the study.
        StudyError: on entering, the file system has no locks that keep others out.
        StorageError: on entering, the folder is full or read-only.
    """

    def __init__(self, folder: StudyFolder, *, takeover: bool = False, wait: bool = False) -> None:
        self._folder, self._takeover, self._wait = folder, takeover, wait
        self._path = folder.path / LOCK_FILE
        self._handle = -1
        self.taken_from: Driver | None = None
        """Who held it and was dead, when it was taken over."""

    def __enter__(self) -> Self:
        with taking(self._folder.path):
            return self._enter()

    def _enter(self) -> Self:
        handle = self._take()
        try:
            check_locks_work(self._path)
            # In this order: who sees the new name may wish, and that wish is not forgotten.
            os.ftruncate(handle, 0)
            delete_requests(self._folder)
            self._lease = Lease(handle)
        except BaseException:
            os.close(handle)
            raise
        _held[handle] = (self._folder.path, self._lease)
        self._handle = handle
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._handle in _held:  # not in a child that was forked meanwhile
            del _held[self._handle]
            self._lease.end()
            os.close(self._handle)

    def _take(self) -> int:
        """Return the locked file, which is the one that others look at."""
        while True:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                locked = self._wait_for(handle)
                if not locked and self._takeover and is_dead(handle):
                    self.taken_from = read_driver(handle)
                    self._put_aside(handle)
                elif not locked:
                    self._refuse(read_driver(handle))
                elif _is_at(handle, self._path):
                    return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)  # another file took its place meanwhile

    def _wait_for(self, handle: int) -> bool:
        """Wait for the lock as long as its holder is given; return whether it is ours."""
        begun, told = time.monotonic(), False
        while not _try_lock(handle, fcntl.LOCK_EX):
            driver = read_driver(handle) if self._wait else None
            ending = driver is not None and driver.ending
            if time.monotonic() - begun > self._patience(ending=ending):
                return False
            if driver is not None and ending and not told:
                told = True
                _log.warning(
                    "waiting for process %d on %s, which drives %s and is about to end",
                    driver.pid, driver.host, self._folder.name,
                )  # fmt: skip
            time.sleep(_PAUSE_SECONDS)
        return True

    def _patience(self, *, ending: bool) -> float:
        if not self._wait:
            return _PATIENCE_SECONDS
        return _ENDING_SECONDS if ending else _MOMENT_SECONDS

    def _put_aside(self, handle: int) -> None:
        """Move the lock of a dead holder aside, so that a new file takes its name."""
        with alone(self._folder.path / WISHES_LOCK_FILE):
            if _is_at(handle, self._path):  # of two that take over, the second finds the first
                self._path.unlink()

    def _refuse(self, driver: Driver | None) -> NoReturn:
        who = f"process {driver.pid} on {driver.host}" if driver else "another process"
        told = (
            f"a study has one driver at a time, but {who} has driven {self._folder.name} "
            f"since {driver.since if driver else 'just now'}"
        )
        if driver is None or driver.age is None:
            told += f"; if it or its machine is gone, {self._how_to_take_over}"
        else:
            told += f" and showed {driver.age:.1f} s ago that it lives"
            if driver.age > LEASE_SECONDS:
                told += f"; {self._how_to_take_over}"
            elif self._takeover:
                told += f"; --takeover is for drivers that have not for {LEASE_SECONDS:.0f} s"
        raise StudyInUseError(told)

    @property
    def _how_to_take_over(self) -> str:
        return f"autodepth resume {self._folder.name} --takeover goes on without it"


def tell_ending(folder: StudyFolder) -> None:
    """Let others know that this process drives a study no longer than it takes to end.

    Whoever wants to go on with the study waits for it then. Safe in a signal handler.
    """
    for path, lease in list(_held.values()):
        if path == folder.path:
            lease.tell_ending()


def driver_of(folder: StudyFolder) -> Driver | None:
    """Return the process that drives a study now, None if there is none; disturbs nobody."""
    try:
        handle = os.open(folder.path / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not _try_lock(handle, fcntl.LOCK_SH):
            if driver := read_driver(handle):
                return driver
            if time.monotonic() > deadline:
                return Driver(pid=0, host="an unknown host", since="an unknown time")
            time.sleep(_PAUSE_SECONDS)
        return None
    finally:
        os.close(handle)


def driver_died(folder: StudyFolder) -> bool:
    """Whether the last driver of a study died: a lock that nobody holds has its name."""
    try:
        handle = os.open(folder.path / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return _try_lock(handle, fcntl.LOCK_SH) and read_driver(handle) is not None
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


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


@dataclass(frozen=True, kw_only=True)
class ControlRequests:
    """Requests of people to a running driver.

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


def read_requests(folder: StudyFolder) -> ControlRequests:
    """Return the requests now; none where the file is absent or cannot be read.

    It costs one failed `open` while nobody wishes anything, so it may be asked many times a second.
    """
    try:
        handle = os.open(folder.path / WISHES_FILE, os.O_RDONLY)
    except OSError:
        return ControlRequests()
    try:
        return ControlRequests(**json.loads(os.read(handle, _LONGEST)))
    except (OSError, ValueError, TypeError, RecursionError):
        return ControlRequests()
    finally:
        os.close(handle)


def wish(folder: StudyFolder, **changes: Any) -> ControlRequests:
    """Add requests to those there are, and return all of them.

    Args:
        folder: the study's folder.
        changes: fields of `ControlRequests`.

    Raises:
        InputError: a value is out of range.
    """
    with alone(folder.path / WISHES_LOCK_FILE):
        wishes = replace(read_requests(folder), **changes)
        write_atomically(folder.path / WISHES_FILE, json.dumps(asdict(wishes)))
    return wishes


def delete_requests(folder: StudyFolder) -> None:
    """Delete all requests."""
    with alone(folder.path / WISHES_LOCK_FILE):
        (folder.path / WISHES_FILE).unlink(missing_ok=True)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one process at a time into the block, so that of two requests at once none is lost."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
