"""What a network would add to the front, before it is trained.

What a network costs is known or well estimated ahead, and its accuracy is predicted with a spread
(`accuracy_model.py`). It is worth the hypervolume that it then adds on average: the expected
improvement of Mockus 1978, summed over the steps of the front. What is being trained now is taken
for a member, so that places do not do the same twice, with the accuracy that it will hardly miss:
what is only hoped of a long training must not keep everything else from its part of the front.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import NormalDist

from autodepth.front.objective import Objective
from autodepth.space.objectives import LATENCY
from autodepth.study.propose.predict.accuracy_model import Predicted
from autodepth.trial.result import ACCURACY

Member = tuple[float, float]  # share of the whole network's MACs, accuracy

_DIGITS = 9  # of costs, so that equal ones are, however they were come by
_NORMAL = NormalDist()


class ExpectedImprovement:
    """The front of accuracy against MACs.

    Where a latency is the cost and not MACs, they stand for it: what a network takes somewhere is
    known once it is measured there, its MACs before it is trained.

    Args:
        objectives: of the study; nothing can be told without the leading metric, or without MACs
            and any latency.
        whole_macs: of the untouched network, above 0.
        share: of the policies, in [0, 1], that are to be chosen by what they are worth.
        leading: name of the task's leading metric.
        quality: brings a value of it to [0, 1], where 1 is best.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        *,
        whole_macs: float,
        share: float = 0.5,
        leading: str = ACCURACY,
        quality: Callable[[float], float] = lambda value: value,
    ) -> None:
        names = [objective.name for objective in objectives]
        costs = {name.partition("@")[0] for name in names}
        known = leading in names and not costs.isdisjoint({"macs", LATENCY})
        self._leading = names.index(leading) if known else None
        self._quality = quality
        self._whole, self._share = whole_macs, share if known else 0.0
        self._due = 0.0
        self._front: list[Member] = []  # by cost, and so by accuracy
        self._running: dict[int, Member] = {}

    def turn(self, *, always: bool = False) -> bool:
        """Return whether the next policy is to be chosen by its worth.

        Args:
            always: whether it is to wherever that can be told, as nothing else is known.
        """
        if always and self._share:
            return True
        self._due += self._share
        if self._due < 1:
            return False
        self._due -= 1
        return True

    def began(self, trial: int, cost: float, predicted: Predicted) -> None:
        """A trial began whose network will have this share of the MACs, and about this accuracy."""
        accuracy = max(0.0, predicted.mean - predicted.spread)
        self._running[trial] = round(cost, _DIGITS), accuracy

    def ended(self, trial: int, values: Sequence[float] | None, macs: float | None = None) -> None:
        """A trial ended.

        Args:
            trial: its number.
            values: of the objectives; None where it brought nothing.
            macs: of its network; None where it brought nothing.
        """
        self._running.pop(trial, None)
        if values is None or macs is None or self._leading is None:
            return
        accuracy = self._quality(values[self._leading])
        self._front = _with(self._front, (round(macs / self._whole, _DIGITS), accuracy))

    @property
    def expected_front(self) -> list[Member]:
        """Members of the front by cost, what runs among them."""
        members = self._front
        for running in self._running.values():
            members = _with(members, running)
        return members

    def worth(self, cost: float, predicted: Predicted, members: Sequence[Member]) -> float:
        """Return what a network is expected to add to the hypervolume, at least 0.

        Args:
            cost: share of the whole network's MACs, in [0, 1].
            predicted: of its accuracy.
            members: `expected_front`, asked for once where many networks are compared.
        """
        cost = round(cost, _DIGITS)
        place = bisect_right([c for c, _ in members], cost)
        below = members[place - 1][1] if place else 0.0
        steps = [(cost, below), *members[place:], (1.0, 1.0)]
        return math.fsum(
            (end - start) * _improvement(predicted, accuracy)
            for (start, accuracy), (end, _) in pairwise(steps)
            if end > start
        )


def _with(front: list[Member], found: Member) -> list[Member]:
    """Return a front with one more network, and without those that it dominates."""
    cost, accuracy = found
    if any(c <= cost and a >= accuracy for c, a in front):
        return front
    return sorted([*(m for m in front if m[0] < cost or m[1] > accuracy), found])


def _improvement(predicted: Predicted, over: float) -> float:
    """Return by how much a normal variable is on average above a value, 0 where it is below."""
    ahead = predicted.mean - over
    if predicted.spread <= 0:
        return max(0.0, ahead)
    deviations = ahead / predicted.spread
    return ahead * _NORMAL.cdf(deviations) + predicted.spread * _NORMAL.pdf(deviations)
