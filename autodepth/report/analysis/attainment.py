"""Hypervolume over device time, and attainment of one front by another, on plain numbers.

Hypervolume is relative: every cost in units of its reference. A front *attains* a point if a point
of its own is at least as good in every objective (the coverage of Zitzler and Thiele 1999, doi
10.1109/4235.797969), and *dominates* it if that point is also better in one.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

from autodepth.front.dominance import as_costs, dominates, pareto_front
from autodepth.front.hypervolume import relative_hypervolume
from autodepth.front.objective import Objective

Values = tuple[float, ...]
"""One value per objective, in their own units."""
Curve = tuple[tuple[float, float], ...]
"""(device seconds, relative hypervolume), both rising."""
_SAME = 1e-9  # hypervolumes are sums of floats; below it they are the same


def hypervolume_curve(
    points: Sequence[tuple[float, Values]], objectives: Sequence[Objective]
) -> Curve:
    """Return (device seconds, relative hypervolume), whenever the hypervolume rose.

    Args:
        points: (device seconds spent by then, objectives) in any order.
        objectives: what they are measured by.
    """
    curve: list[tuple[float, float]] = []
    front: list[Values] = []
    goals = [objective.goal for objective in objectives]
    for spent, values in sorted(points, key=lambda point: point[0]):
        kept = [*front, values]
        chosen = pareto_front(kept, goals)
        if len(kept) - 1 not in chosen:
            continue  # a point that is dominated changes nothing
        front = [kept[index] for index in chosen]
        volume = relative_hypervolume(front, objectives)
        if volume > (curve[-1][1] if curve else 0.0):
            curve.append((spent, volume))
    return tuple(curve)


def hypervolume_at(curve: Curve, spent: float) -> float:
    """Return the hypervolume a study had after so many device seconds."""
    return max((volume for at, volume in curve if at <= spent), default=0.0)


def spent_to_reach(curve: Curve, target: float) -> float | None:
    """Return the device seconds after which a hypervolume was reached; None if it never was."""
    return next((at for at, volume in curve if volume >= target * (1 - _SAME)), None)


def attained(
    own: Sequence[Values], others: Sequence[Values], objectives: Sequence[Objective]
) -> tuple[int, int]:
    """Return how many of the others one's own points attain, and how many they dominate."""
    goals = [objective.goal for objective in objectives]
    covered = [
        other
        for other in others
        if any(
            all(map(operator.le, as_costs(point, goals), as_costs(other, goals))) for point in own
        )
    ]
    beaten = [other for other in covered if any(dominates(point, other, goals) for point in own)]
    return len(covered), len(beaten)
