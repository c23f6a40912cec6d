"""What a running study has spent, and whether it may start another trial."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np
from scipy.optimize import nnls

from autodepth.lived_time import lived_seconds
from autodepth.units import Budget, Device

_LEAST_MARGIN = 0.1  # a trial that the budget cuts off was for nothing
_FEWEST_FITTED = 3  # trials; fewer tell no more than a proportion


class Pace:
    """How long trials take for their work, learned from those that ended.

    A trial takes some seconds however small it is, and some for each unit of its work. Both are
    fitted to relative errors and at least 0 (Lawson & Hanson 1974, chapter 23), so that many short
    trials do not tell how long a long one takes.
    """

    def __init__(self) -> None:
        self._known: list[tuple[float, float]] = []
        self._fitted: tuple[float, float, float] | None = None

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return bool(self._known)

    def learn(self, seconds: float, work: float) -> None:
        """Take in what a trial took; both are above 0."""
        self._known.append((seconds, work))
        self._fitted = None

    def expected(self, work: float) -> float:
        """Return about how many seconds so much work takes; 0 as long as nothing is known."""
        fixed, slope, _ = self._fit()
        return fixed + slope * work

    def at_most(self, work: float) -> float:
        """Return the same with a margin: by how far trials were off, a tenth at least."""
        return self.expected(work) * (1 + max(_LEAST_MARGIN, self._fit()[2]))

    def _fit(self) -> tuple[float, float, float]:
        """Return seconds of a trial, seconds of a unit of work, and the typical relative error."""
        if self._fitted is None:
            self._fitted = self._fit_anew()
        return self._fitted

    def _fit_anew(self) -> tuple[float, float, float]:
        if len(self._known) < _FEWEST_FITTED:
            paces = [seconds / work for seconds, work in self._known]
            return 0.0, statistics.median(paces) if paces else 0.0, 0.0
        seconds, work = np.array(self._known).T
        columns = np.stack([1 / seconds, work / seconds], axis=1)
        (fixed, slope), error = nnls(columns, np.ones(len(seconds)))
        return float(fixed), float(slope), float(error) / math.sqrt(len(seconds) - 2)


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
        # By whether the parent was trained.
        self._durations: dict[bool, list[float]] = {True: [], False: []}
        self._paces = {True: Pace(), False: Pace()}
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
        """Whether another trial may start: there is one left, and time for the shortest so far.

        Args:
            new_parent: whether it has to train its parent.
        """
        if self.trials_left <= 0:
            return False
        return self.seconds_left > self.shortest(new_parent=new_parent)

    def leaves_time_for(self, work: float, *, new_parent: bool) -> bool:
        """Whether a trial of so much work can come to its end, with a margin.

        Args:
            work: in epochs of the whole network.
            new_parent: whether it has to train its parent.
        """
        return self.seconds_left > self._pace(new_parent).at_most(work)

    def shortest(self, *, new_parent: bool) -> float:
        """Return the seconds of the shortest trial with or without training a parent; 0 at first.

        Without one that trained a parent, it is the shortest of the others: a parent comes besides.
        """
        times = self._durations[new_parent] or (self._durations[False] if new_parent else [])
        return min(times, default=0.0)

    def expected(self, work: float, *, new_parent: bool) -> float:
        """Return about how many seconds a trial of so much work takes; 0 as long as none ended."""
        return self._pace(new_parent).expected(work)

    def _pace(self, new_parent: bool) -> Pace:
        return self._paces[new_parent] or self._paces[not new_parent]

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
            self._paces[new_parent].learn(seconds, work)

    def trial_cut_off(self, seconds: float, work: float, *, new_parent: bool) -> None:
        """Note how long a part of a trial took that came to no end; as of `trial_completed`."""
        self._paces[new_parent].learn(seconds, work)
