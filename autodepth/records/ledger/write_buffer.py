"""Buffers epochs for a moment, so that many of them share one commit.

A commit waits for the disk, and a driver of a thousand workers has no time to wait for each epoch.
Where reports are few, each is on the disk at once. Where they come faster, what is held is on the
disk a twentieth of a second later, and before anything else is decided of its trial: a verdict that
stops it, or its end. Who dies in between loses epochs of trials that were broken off with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autodepth.records.ledger import Ledger
from autodepth.trial.result import EpochReport

_SECONDS = 0.05  # between commits


class WriteBuffer:
    """Epochs and verdicts of running trials that are not in the ledger yet.

    Args:
        ledger: takes it.
        clock: seconds that only ever rise.
    """

    def __init__(self, ledger: Ledger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger, self._clock = ledger, clock
        self._epochs: list[tuple[int, EpochReport]] = []
        self._verdicts: list[tuple[int, str, Mapping[str, Any]]] = []
        self._due = clock()

    def add(
        self,
        number: int,
        epochs: Sequence[EpochReport],
        verdicts: Sequence[tuple[str, Mapping[str, Any]]] = (),
    ) -> None:
        """Buffer epochs of a running trial, and verdicts by rung."""
        self._epochs += [(number, epoch) for epoch in epochs]
        self._verdicts += [(number, rung, content) for rung, content in verdicts]
        self.commit_due()

    def commit_due(self) -> None:
        """Commit if the oldest epoch has waited long enough; to be called again and again."""
        if self._epochs and self._clock() >= self._due:
            self.commit()

    def commit(self) -> None:
        """Enter everything now.

        Raises:
            StorageError: the disk takes no more; it is still held then.
        """
        if not self._epochs:
            return
        self._ledger.record(self._epochs, self._verdicts)
        self._epochs, self._verdicts = [], []
        self._due = self._clock() + _SECONDS
