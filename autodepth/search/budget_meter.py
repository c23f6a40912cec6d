"""What a running study has spent, and whether it may start another trial."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from autodepth.units import Budget, Device


class BudgetMeter:
    """Charges every device for as long as it is reserved, busy or not.

    Args:
        budget: what may be spent.
        device: kind of the devices.
        devices: how many are reserved together, shares of one included.
        clock: seconds that only ever rise.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        device: Device,
        devices: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget
        self.device = device
        self.devices = devices
        self._clock = clock
        self._started: float | None = None
        self._stopped: float | None = None
        self._durations: list[float] = []
        self.trials_started = 0

    def start(self) -> None:
        """Begin to charge: the devices are reserved from now on."""
        self._started = self._clock()

    def stop(self) -> None:
        """Charge no more: the devices are released."""
        self._stopped = self._clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the devices were reserved."""
        if self._started is None:
            return 0.0
        return (self._clock() if self._stopped is None else self._stopped) - self._started

    @property
    def spent(self) -> float:
        """Device seconds charged so far."""
        return self.elapsed * self.devices

    @property
    def seconds_left(self) -> float:
        """Seconds until the first limit in time is reached; infinite without one."""
        limits = [float("inf")]
        if self.budget.device_seconds is not None:
            limits.append(self.budget.device_seconds / self.devices)
        if self.budget.wall_seconds is not None:
            limits.append(self.budget.wall_seconds)
        return min(limits) - self.elapsed

    @property
    def share_spent(self) -> float:
        """Share of the tightest limit that is used up, in [0, 1]."""
        left = self.seconds_left
        share = 0.0 if left == float("inf") else self.elapsed / max(self.elapsed + left, 1e-9)
        if self.budget.trials is not None:
            share = max(share, len(self._durations) / self.budget.trials)
        return min(share, 1.0)

    @property
    def exhausted(self) -> bool:
        """Whether running trials have to stop."""
        return self.seconds_left <= 0

    def may_start(self) -> bool:
        """Whether another trial may start: there is one left, and time for one as long as usual."""
        if self.budget.trials is not None and self.trials_started >= self.budget.trials:
            return False
        usual = statistics.median(self._durations) if self._durations else 0.0
        return self.seconds_left > usual

    def trial_started(self) -> None:
        """Note that a trial was started."""
        self.trials_started += 1

    def trial_completed(self, seconds: float) -> None:
        """Note how long the stages of a complete trial took."""
        self._durations.append(seconds)
