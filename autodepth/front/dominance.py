"""Dominance and the Pareto front, on plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autodepth.errors import InputError
from autodepth.space.objectives import Goal


def dominates(a: Sequence[float], b: Sequence[float], goals: Sequence[Goal]) -> bool:
    """Return whether a is at least as good as b everywhere and better somewhere.

    Args:
        a: one value per objective.
        b: the same objectives of another point.
        goals: `maximize` or `minimize`, one per objective.

    Raises:
        InputError: a value is not finite, or the lengths differ.
    """
    costs_a, costs_b = as_costs(a, goals), as_costs(b, goals)
    return costs_a != costs_b and _covers(costs_a, costs_b)


def pareto_front(points: Sequence[Sequence[float]], goals: Sequence[Goal]) -> list[int]:
    """Return the indices of the points that no other dominates, in the order they came.

    Of equal points only the first is kept.

    Args:
        points: one row per point, one column per objective; may be empty.
        goals: `maximize` or `minimize`, one per objective.

    Raises:
        InputError: a value is not finite, or a row's length differs from that of `goals`.
    """
    costs = [as_costs(point, goals) for point in points]
    front: list[int] = []
    # In lexicographic order nothing that comes later can dominate what was kept, so one pass over
    # the front so far decides: O(points x front). With two objectives its last member does.
    order = sorted(range(len(costs)), key=lambda i: (costs[i], i))
    if len(goals) == 2:
        for index in order:
            if not front or costs[index][1] < costs[front[-1]][1]:
                front.append(index)
        return sorted(front)
    for index in order:
        if not any(_covers(costs[kept], costs[index]) for kept in front):
            front.append(index)
    return sorted(front)


def as_costs(point: Sequence[float], goals: Sequence[Goal]) -> tuple[float, ...]:
    """Return the values with the sign turned where the goal is `maximize`: less is better.

    Raises:
        InputError: a value is not finite, or the lengths differ.
    """
    if len(point) != len(goals):
        raise InputError(
            f"a point must have one value per objective, but got {len(point)} for {len(goals)}"
        )
    for value in point:
        if not math.isfinite(value):
            raise InputError(f"a point of a front must be finite, but got {tuple(point)}")
    return tuple(
        -value if goal == "maximize" else value for value, goal in zip(point, goals, strict=True)
    )


def _covers(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True))
