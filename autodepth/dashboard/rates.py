"""How often somebody may ask: so many at once, and from then on so many a second."""

from __future__ import annotations

import time
from collections.abc import Callable

_MOST_KNOWN = 10_000


class Rates:
    """Counts what each of many does; nothing is kept of who has been quiet for long.

    Args:
        a_second: how many are allowed in the long run.
        at_once: how many after a pause.
        clock: seconds.
    """

    def __init__(
        self, *, a_second: float, at_once: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._a_second, self._at_once, self._clock = a_second, at_once, clock
        self._known: dict[str, tuple[float, float]] = {}  # what is left, and when

    def allows(self, who: str) -> bool:
        """Count one more of somebody, and return whether it is not too much."""
        now = self._clock()
        left, since = self._known.get(who, (float(self._at_once), now))
        left = min(float(self._at_once), left + (now - since) * self._a_second)
        self._known[who] = (left - 1 if left >= 1 else left, now)
        if len(self._known) > _MOST_KNOWN:
            self._forget(now)
        return left >= 1

    def _forget(self, now: float) -> None:
        full = self._at_once / self._a_second
        self._known = {who: seen for who, seen in self._known.items() if now - seen[1] < full}
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
