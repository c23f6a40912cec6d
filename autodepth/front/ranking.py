"""Who stands where behind the front: non-dominated ranks, and what each point contributes.

Two objectives only, which is what keeps both at O(n log n).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence

from autodepth.errors import InputError
from autodepth.front.dominance import as_costs
from autodepth.space.objectives import Goal

# The corner lies this share of the range beyond the worst values, so that the ends of a front,
# which nothing lies behind, contribute something.
_BEYOND = 0.1


def ranks(points: Sequence[Sequence[float]], goals: Sequence[Goal]) -> list[int]:
    """Return the non-dominated rank of each point: 1 on the first front.

    Rank k + 1 is what no other dominates once ranks 1 to k are taken away. Equal points have
    equal ranks, and the order of the points changes nothing.

    Args:
        points: one row of two values per point; may be empty.
        goals: `maximize` or `minimize`, two of them.

    Raises:
        InputError: a value is not finite, or there are not two goals and two values each.
    """
    costs = _costs(points, goals)
    # In lexicographic order only earlier points dominate later ones: those of no greater second
    # cost. `lowest` holds the least second cost of each rank so far, and rises with the rank.
    lowest: list[float] = []
    found: dict[tuple[float, ...], int] = {}
    for cost in sorted(set(costs)):
        rank = bisect_right(lowest, cost[1])
        lowest[rank : rank + 1] = [cost[1]]
        found[cost] = rank + 1
    return [found[cost] for cost in costs]


def contributions(points: Sequence[Sequence[float]], goals: Sequence[Goal]) -> list[float]:
    """Return the area each point alone commands among the points of its own rank.

    The area is measured up to a corner a tenth of the range beyond the worst values of all
    points. Points that are equal contribute nothing beyond each other: 0.

    Args:
        points: one row of two values per point; may be empty.
        goals: `maximize` or `minimize`, two of them.

    Returns:
        Areas in the product of the objectives' units, at least 0.

    Raises:
        InputError: a value is not finite, or there are not two goals and two values each.
    """
    costs = _costs(points, goals)
    if not costs:
        return []
    corner = []
    for values in zip(*costs, strict=True):
        worst = max(values)
        corner.append(worst + _BEYOND * (worst - min(values)))
    fronts = defaultdict(set)
    for rank, cost in zip(ranks(points, goals), costs, strict=True):
        fronts[rank].add(cost)
    times, area = Counter(costs), dict[tuple[float, ...], float]()
    for front in fronts.values():
        members = sorted(front)  # the second cost falls while the first one rises
        right = [cost[0] for cost in members[1:]] + [corner[0]]
        above = [corner[1]] + [cost[1] for cost in members[:-1]]
        for cost, x, y in zip(members, right, above, strict=True):
            area[cost] = (x - cost[0]) * (y - cost[1])
    return [area[cost] if times[cost] == 1 else 0.0 for cost in costs]


def _costs(points: Sequence[Sequence[float]], goals: Sequence[Goal]) -> list[tuple[float, ...]]:
    if len(goals) != 2:
        raise InputError(f"points are ranked by two goals, but got {len(goals)}")
    return [as_costs(point, goals) for point in points]
