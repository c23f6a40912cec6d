"""Where the front has gaps, and what a network may be worth that falls into one.

What a network costs is known before it is trained, as soon as its parent was scored. A sampler
learns from what was tried and does not use that. A network is expected on the straight line between
its neighbours on the front, and around it as far as networks came above that line so far. It is
worth the hypervolume it then adds on average (the expected improvement of Mockus 1978, summed over
the steps of the front). At first, when only the line is known, that is most in the middle of a wide
gap and nothing beside a member; where networks cost one of few amounts, gaps are soon filled, and
what counts is how much the front would gain from a better one of the same cost. What was tried in a
gap, or at that cost, and did not reach the front halves the worth, then makes it a third, and so
on. What runs there now is taken for a member on that line.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from itertools import pairwise
from statistics import NormalDist

from autodepth.front.objective import Objective

Member = tuple[float, float]  # share of the whole network's MACs, accuracy

_NOTHING: Member = (0.0, 0.0)
_PERFECT: Member = (1.0, 1.0)
_DIGITS = 9  # of costs, so that equal ones are, however they were come by
_NORMAL = NormalDist()


class ExpectedImprovement:
    """The front of accuracy against MACs.

    Args:
        objectives: of the study; without validation accuracy and MACs no gap is known.
        whole_macs: of the untouched network, above 0.
        share: of the policies on known parents, in [0, 1], that are to fall into a gap.
    """

    def __init__(
        self, objectives: Sequence[Objective], *, whole_macs: float, share: float = 0.5
    ) -> None:
        names = [objective.name for objective in objectives]
        known = {"validation_accuracy", "macs"} <= set(names)
        self._columns = (names.index("macs"), names.index("validation_accuracy")) if known else None
        self._whole, self._share = whole_macs, share if known else 0.0
        self._due = 0.0
        self._front: list[Member] = []  # by cost, and so by accuracy
        self._missed: list[float] = []  # costs of what is not on the front, or fell from it, rising
        self._running: dict[int, tuple[float, float]] = {}  # cost and promise
        self._compared, self._above = 0, 0.0  # networks, and how far they came above the line
        self._whole_known = False

    @property
    def spread(self) -> float:
        """Standard deviation of accuracy around the line, as far as it is above it; 0 at first."""
        return math.sqrt(2 * math.pi) * self._above / max(1, self._compared)

    def turn(self, *, always: bool = False) -> bool:
        """Return whether the next policy on a known parent is to fall into a gap.

        Args:
            always: whether it is to wherever there are gaps, as nothing else is known.
        """
        if always and self._share and self._front:
            return True
        self._due += self._share
        if self._due < 1 or not self._front:
            return False
        self._due -= 1
        return True

    def began(self, trial: int, cost: float, promise: float = 1.0) -> None:
        """A trial began whose network will cost about this much; arguments as for `worth`."""
        self._running[trial] = round(cost, _DIGITS), promise

    def ended(self, trial: int, values: Sequence[float] | None, *, complete: bool = True) -> None:
        """A trial ended.

        Args:
            trial: its number.
            values: of the objectives, when it was complete or stopped; None where not known.
            complete: whether they are what its policy comes to.
        """
        _, promise = self._running.pop(trial, (0.0, 1.0))
        if values is None or self._columns is None:
            return
        macs, accuracy = (values[column] for column in self._columns)
        found = round(macs / self._whole, _DIGITS), accuracy
        if complete:
            self._compare(found, promise)
        self._add(found)

    def _compare(self, found: Member, promise: float) -> None:
        """Learn how far above the line between two members a network came."""
        cost, accuracy = found
        if self._front and self._front[0][0] <= cost <= self._front[-1][0]:
            line = self._on_line(cost, self._front)
            expected = self._front[-1][1] if line is None else line
            self._compared += 1
            self._above += max(0.0, accuracy - promise * expected)

    def _add(self, found: Member) -> None:
        cost, accuracy = found
        self._whole_known = self._whole_known or cost >= 1
        if any(c <= cost and a >= accuracy for c, a in self._front):
            insort(self._missed, cost)
            return
        fallen = [m for m in self._front if m[0] >= cost and m[1] <= accuracy]
        for former, _ in fallen:
            insort(self._missed, former)
        self._front = sorted([*(m for m in self._front if m not in fallen), found])

    def worth(self, cost: float, promise: float = 1.0) -> float:
        """Return what a network of this cost is expected to add to the hypervolume, at least 0.

        Beyond the dearest member that is nothing, once the whole network is known; until then its
        accuracy is taken to be perfect.

        Args:
            cost: share of the whole network's MACs, in [0, 1].
            promise: what share of the accuracy on that line to expect, in [0, 1]: a parent that is
                less accurate than the best one keeps less.
        """
        cost = round(cost, _DIGITS)
        running = [c for c, _ in self._running.values()]
        on_line = [(c, self._on_line(c, self._front)) for c in running]
        members = sorted({*self._front, *((c, a) for c, a in on_line if a is not None)})
        line = self._on_line(cost, members)
        if line is None:
            return 0.0
        left, right = self._neighbours(cost, members)
        steps = [(cost, left[1]), *(m for m in members if m[0] > cost), _PERFECT]
        added = math.fsum(
            (end - start) * _improvement(promise * line, self.spread, accuracy)
            for (start, accuracy), (end, _) in pairwise(steps)
        )
        if left[0] == cost:
            missed = bisect_right(self._missed, cost) - bisect_left(self._missed, cost)
        else:
            missed = bisect_left(self._missed, right[0]) - bisect_right(self._missed, left[0])
        return added / (1 + missed + running.count(cost))

    def _on_line(self, cost: float, members: Sequence[Member]) -> float | None:
        """Return the accuracy on the line between a cost's neighbours; None where is no gap."""
        left, right = self._neighbours(cost, members)
        if right[0] <= left[0]:
            return None
        return left[1] + (right[1] - left[1]) * (cost - left[0]) / (right[0] - left[0])

    def _neighbours(self, cost: float, members: Sequence[Member]) -> tuple[Member, Member]:
        place = bisect_right([c for c, _ in members], cost)
        left = members[place - 1] if place else _NOTHING
        if place < len(members):
            return left, members[place]
        return left, left if self._whole_known else _PERFECT


def _improvement(expected: float, spread: float, over: float) -> float:
    """Return by how much a normal variable is on average above a value, 0 where it is below."""
    ahead = expected - over
    if spread <= 0:
        return max(0.0, ahead)
    deviations = ahead / spread
    return ahead * _NORMAL.cdf(deviations) + spread * _NORMAL.pdf(deviations)
