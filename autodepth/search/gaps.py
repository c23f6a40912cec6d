"""Where the front has gaps, and what a network may be worth that falls into one.

What a network costs is known before it is trained, as soon as its parent was scored. A sampler
learns from what was tried and does not use that. Between two neighbours on the front, a network is
expected on the straight line that joins them, and is worth the hypervolume it would add there: most
in the middle of a wide gap, nothing beside a member. What was tried in a gap and did not reach the
front halves its worth, then makes it a third, and so on. What runs there now is taken for a member
on that line.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from autodepth.front.objective import Objective

Member = tuple[float, float]  # share of the whole network's MACs, accuracy

_NOTHING: Member = (0.0, 0.0)
_PERFECT: Member = (1.0, 1.0)


class Gaps:
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
        self._missed: list[float] = []  # costs of what did not reach the front, or fell from it
        self._running: dict[int, float] = {}
        self._whole_known = False

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

    def began(self, trial: int, cost: float) -> None:
        """A trial began whose network will cost about this share of the whole one's MACs."""
        self._running[trial] = cost

    def ended(self, trial: int, values: Sequence[float] | None) -> None:
        """A trial ended.

        Args:
            trial: its number.
            values: of the objectives, when it was complete or stopped; None where not known.
        """
        self._running.pop(trial, None)
        if values is not None and self._columns is not None:
            macs, accuracy = (values[column] for column in self._columns)
            self._add((macs / self._whole, accuracy))

    def _add(self, found: Member) -> None:
        cost, accuracy = found
        self._whole_known = self._whole_known or cost >= 1
        if any(c <= cost and a >= accuracy for c, a in self._front):
            self._missed.append(cost)
            return
        fallen = [m for m in self._front if m[0] >= cost and m[1] <= accuracy]
        self._missed += [c for c, _ in fallen]
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
        expected = [(c, self._on_line(c, self._front)) for c in self._running.values()]
        members = sorted({*self._front, *((c, a) for c, a in expected if a is not None)})
        line = self._on_line(cost, members)
        if line is None:
            return 0.0
        left, right = self._neighbours(cost, members)
        rise = max(0.0, promise * line - left[1])
        missed = sum(left[0] < c < right[0] for c in self._missed)
        return rise * (right[0] - cost) / (1 + missed)

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
