"""Time that this process lived: what passed while it was stopped is not counted.

SIGSTOP, Ctrl-Z, `docker pause` and a machine that sleeps stop a process without a word, and the
clock that only ever rises goes on meanwhile. So a thread looks at that clock twice a second. Time
that passed between two looks, and in which this process computed nothing either, it was stopped in.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LOOK_SECONDS = 0.5
"""How often the clock is looked at."""
_LONGEST_WAIT = 2.0  # seconds; a busy machine may hold a thread up for that long


class LivedTime:
    """A clock that stands still while its process is stopped.

    Args:
        clock: seconds that only ever rise.
        computed: CPU seconds of this process; one that computes lives, whoever waits for it.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        computed: Callable[[], float] = time.process_time,
    ) -> None:
        self._clock, self._computed = clock, computed
        self._lock = threading.RLock()  # a signal handler may look while its thread does
        self._looked, self._had_computed = clock(), computed()
        self._stopped = 0.0

    def seconds(self) -> float:
        """Return seconds lived since some moment."""
        with self._lock:
            now, computed = self._clock(), self._computed()
            passed = now - self._looked
            if passed - (computed - self._had_computed) > _LONGEST_WAIT:
                self._stopped += passed - LOOK_SECONDS
            self._looked, self._had_computed = now, computed
            return now - self._stopped

    def watch(self) -> None:
        """Look again and again, as long as this process lives."""
        while True:
            time.sleep(LOOK_SECONDS)
            self.seconds()


_watched: list[LivedTime] = []  # none or one: of this process
_starting = threading.Lock()


def lived_seconds() -> float:
    """Return seconds that this process has lived since some moment, as `time.monotonic` does."""
    if not _watched:
        with _starting:
            if not _watched:
                _watched.append(LivedTime())
                threading.Thread(target=_watched[0].watch, name="lived-time", daemon=True).start()
    return _watched[0].seconds()


def _forget_in_child() -> None:
    """Start anew after a fork: the thread that looks stayed behind."""
    global _starting  # noqa: PLW0603 - it may have been held
    _starting = threading.Lock()
    _watched.clear()


os.register_at_fork(after_in_child=_forget_in_child)


def is_stopped(pid: int) -> bool:
    """Whether a process of this machine is stopped now; False where the system does not tell."""
    with suppress(OSError, IndexError):
        status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        return status.rpartition(")")[2].split()[0] in {"T", "t"}
    return False
