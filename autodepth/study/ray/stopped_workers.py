"""Workers of this machine that somebody stopped: their time is charged to nobody."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any

from autodepth.lived_time import LOOK_SECONDS, is_stopped, lived_seconds


class StoppedWorkers:
    """Looks which running trials stand still because their process was stopped.

    Args:
        stood_still: told of trials, and for how many seconds they stood still.
        clock: seconds that this process lived.
    """

    def __init__(
        self,
        stood_still: Callable[[list[int], float], None],
        clock: Callable[[], float] = lived_seconds,
    ) -> None:
        self._tell, self._clock = stood_still, clock
        self._host, self._looked = socket.gethostname(), clock()
        self._workers: dict[int, int] = {}

    def told(self, number: int, result: Mapping[str, Any]) -> None:
        """Note which process a result of a trial comes from."""
        if result.get("hostname") == self._host:
            self._workers[number] = int(result["pid"])

    def over(self, number: int) -> None:
        """Forget a trial that ended."""
        self._workers.pop(number, None)

    def look(self) -> None:
        """Look, if it is time to; to be called again and again."""
        now = self._clock()
        passed = now - self._looked
        if passed >= LOOK_SECONDS:
            self._looked = now
            if still := [number for number, pid in self._workers.items() if is_stopped(pid)]:
                self._tell(still, passed)
