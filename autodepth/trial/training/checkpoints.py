"""States of one course of training in the stage cache, for whoever comes to the same course."""

from __future__ import annotations

import time
from collections.abc import Callable

from autodepth.trial.cache.cache import StageCache
from autodepth.trial.training.state import TrainingState

# Writing takes at most about this part of the time, however slow the cache is.
_SHARE_OF_TIME = 0.05
_PARTIAL = ".partial"


class Checkpoints:
    """What was trained of a course so far.

    Partial states leave when the course is over. A course that may go on for longer (one whose
    schedule does not know its end) keeps its last state as the entry of its stage: more epochs
    start from it, and as many find it whole.

    Args:
        cache: where they are kept.
        key: of the course; it says how long the course is, unless it may go on for longer.
        seconds: between two partial states, at least 0; 0 keeps one after every epoch.
        open_ended: whether the course may go on for longer.
        trunk: the same for the epochs with which courses of other lengths begin too; None where
            they share none.
        clock: seconds that go by.
        leaving: whether this process has to go, so that nothing waits until it is time to.
    """

    def __init__(
        self,
        cache: StageCache,
        key: str,
        *,
        seconds: float,
        open_ended: bool = False,
        trunk: Checkpoints | None = None,
        clock: Callable[[], float] = time.monotonic,
        leaving: Callable[[], bool] = lambda: False,
    ) -> None:
        self._cache, self._key, self._open_ended = cache, key, open_ended
        self.trunk = trunk
        self._seconds, self._clock = seconds, clock
        self._leaving = leaving
        self._due = clock() + seconds
        self._last = ""

    def latest(self, epochs: int) -> TrainingState | None:
        """Return the last sound state of at most so many epochs, if there is any."""
        for key in sorted(self._keys(), key=_newest_last, reverse=True):
            if _epoch(key) <= epochs:
                state = self._cache.load(key, TrainingState.read)
                if state is not None:
                    self._last = key
                    return state
        return None

    def offer(self, epoch: int, state: Callable[[], TrainingState]) -> None:
        """Keep the state after an epoch, if it is time to, or the last chance."""
        start = self._clock()
        due = self._leaving() or start >= self._due
        if not self._cache.keeps or not due:
            return
        key = f"{self._name(epoch)}{_PARTIAL}"
        if self._cache.store(key, state().write, kind="partial"):
            if self._last.endswith(_PARTIAL) and self._last != key:
                self._cache.remove(self._last)
            self._last = key
        now = self._clock()
        # Seconds of 0 are meant: every epoch.
        rest = (now - start) / _SHARE_OF_TIME if self._seconds else 0.0
        self._due = now + max(self._seconds, rest)

    def end(self, epoch: int, state: Callable[[], TrainingState]) -> None:
        """Hear that the course is over, before anything is made of the last state."""
        key = self._name(epoch)
        if not self._open_ended or not self._cache.keeps or self._last == key:
            return
        if self._cache.store(key, state().write, kind="fine_tuned"):
            self.discard(epoch)

    def discard(self, epoch: int) -> None:
        """Take the partial states away that are not after an epoch."""
        for key in self._keys():
            if key.endswith(_PARTIAL) and _epoch(key) <= epoch:
                self._cache.remove(key)

    def _keys(self) -> list[str]:
        return self._cache.kept(f"{self._key}.")

    def _name(self, epoch: int) -> str:
        return f"{self._key}.{epoch:06d}"


def _epoch(key: str) -> int:
    return int(key.split(".")[1])


def _newest_last(key: str) -> tuple[int, bool]:
    return _epoch(key), not key.endswith(_PARTIAL)
