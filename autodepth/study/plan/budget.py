"""What a running study has spent, and whether it may start another trial."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

from autodepth.lived_time import lived_seconds
from autodepth.units import Budget, Device

_MARGIN = 1.1  # a trial that the budget cuts off was for nothing


class BudgetMeter:
    """Charges every device for as long as it is reserved, busy or not, and nobody stopped us.

    Args:
        budget: what may be spent.
        device: kind of the devices.
        devices: how many are reserved together, shares of one included.
        spent_before: device seconds that earlier parts of the study took.
        wall_before: seconds for which they reserved any device.
        clock: seconds that only ever rise, and stand still while this process is stopped; `now`
            reads it.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        device: Device,
        devices: float,
        spent_before: float = 0.0,
        wall_before: float = 0.0,
        clock: Callable[[], float] = lived_seconds,
    ) -> None:
        self.budget = budget
        self.device = device
        self.devices = devices
        self.now = clock
        self._started: float | None = None
        self._stopped: float | None = None
        self._before, self._wall_before = spent_before, wall_before
        self._stood_still = 0.0
        # By whether the parent was trained: seconds, and seconds per unit of work.
        self._durations: dict[bool, list[float]] = {True: [], False: []}
        self._paces: dict[bool, list[float]] = {True: [], False: []}
        self.trials_started = 0

    def start(self) -> None:
        """Begin to charge: the devices are reserved from now on. Only the first call counts."""
        if self._started is None:
            self._started = self.now()

    def stop(self) -> None:
        """Charge no more: the devices are released. Only the first call counts."""
        if self._stopped is None:
            self._stopped = self.now()

    def stood_still(self, seconds: float) -> None:
        """Give back time in which workers were stopped.

        Args:
            seconds: of all devices; where one of two stood still, half of the time it did.
        """
        self._stood_still += seconds

    @property
    def _elapsed(self) -> float:
        """Seconds for which the devices have been reserved in this part of the study."""
        if self._started is None:
            return 0.0
        now = self.now() if self._stopped is None else self._stopped
        return now - self._started - self._stood_still

    @property
    def spent(self) -> float:
        """Device seconds charged so far, earlier parts of the study included."""
        return self._before + self._elapsed * self.devices

    @property
    def wall_spent(self) -> float:
        """Seconds for which any device has been reserved, earlier parts included."""
        return self._wall_before + self._elapsed

    @property
    def seconds_left(self) -> float:
        """Seconds until the first limit in time is reached; infinite without one."""
        return self.budget.seconds_left(
            self.devices, device_seconds=self.spent, wall_seconds=self.wall_spent
        )

    @property
    def seconds_in_all(self) -> float:
        """Seconds that the whole budget reserves these devices for; infinite without a limit."""
        return self.budget.seconds_left(self.devices)

    @property
    def share_spent(self) -> float:
        """Share of the limit that ends first that is used up, in [0, 1]; 0 without any."""
        share = self.budget.share_spent(
            device_seconds=self.spent, wall_seconds=self.wall_spent, trials=self.trials_started
        )
        return share or 0.0

    @property
    def exhausted(self) -> bool:
        """Whether running trials have to stop."""
        return self.seconds_left <= 0

    @property
    def trials_left(self) -> float:
        """How many trials may yet start; infinite where the budget does not count them."""
        return math.inf if self.budget.trials is None else self.budget.trials - self.trials_started

    def may_start(self, *, new_parent: bool = False) -> bool:
        """Whether another trial may start: there is one left, and time for one as long as usual.

        Args:
            new_parent: whether it has to train its parent.
        """
        if self.trials_left <= 0:
            return False
        return self.seconds_left > self.usual(new_parent=new_parent)

    def leaves_time_for(self, work: float, *, new_parent: bool) -> bool:
        """Whether a trial of so much work can come to its end, with a margin.

        Args:
            work: in epochs of the whole network.
            new_parent: whether it has to train its parent.
        """
        return self.seconds_left > _MARGIN * self.expected(work, new_parent=new_parent)

    def usual(self, *, new_parent: bool) -> float:
        """Return the median seconds of a trial with or without training a parent; 0 at first."""
        times = self._durations[new_parent]
        if not times and not new_parent:
            return 0.0
        times = times or self._durations[False]
        return statistics.median(times) if times else 0.0

    def expected(self, work: float, *, new_parent: bool) -> float:
        """Return about how many seconds a trial of so much work takes; 0 as long as none ended."""
        paces = self._paces[new_parent] or self._paces[not new_parent]
        return statistics.median(paces) * work if paces else 0.0

    def trial_started(self) -> None:
        """Note that a trial was started."""
        self.trials_started += 1

    def trial_lost(self) -> None:
        """Note that a trial was broken off, and its policy is to be tried again."""
        self.trials_started -= 1

    def trial_completed(
        self, seconds: float, work: float | None, *, new_parent: bool = False
    ) -> None:
        """Note how long the phases of a complete trial took, all on one place.

        Args:
            seconds: how long.
            work: in epochs of the whole network, above 0; None where it trained nothing, so that
                its time is that of loading and measuring and tells no pace.
            new_parent: whether it trained its parent.
        """
        self._durations[new_parent].append(seconds)
        if work is not None:
            self._paces[new_parent].append(seconds / work)
