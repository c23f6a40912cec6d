"""Hypervolume: how much of the objective space a front commands, as one number."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autodepth.errors import InputError
from autodepth.front.dominance import as_costs
from autodepth.front.objective import Objective


def hypervolume(points: Sequence[Sequence[float]], objectives: Sequence[Objective]) -> float:
    """Return the exact volume between the points and the reference corner.

    Dominated points change nothing; points beyond the reference in any objective add nothing.

    Args:
        points: one row per point, one column per objective; may be empty.
        objectives: goals and the reference corner.

    Returns:
        The volume in the product of the objectives' units, at least 0.

    Raises:
        InputError: a value is not finite, or a row's length differs from that of `objectives`.

    Source: Fonseca, Paquete, Lopez-Ibanez 2006 (doi 10.1109/CEC.2006.1688440), as in moocore.
    """
    if not objectives:
        raise InputError("a hypervolume needs at least one objective, but got none")
    goals = [objective.goal for objective in objectives]
    costs = [as_costs(point, goals) for point in points]
    if not costs:
        return 0.0
    import moocore  # noqa: PLC0415  (0.4 s, and only this function needs it)

    corner = as_costs([objective.reference for objective in objectives], goals)
    return float(moocore.hypervolume(costs, corner))


def relative_hypervolume(
    points: Sequence[Sequence[float]], objectives: Sequence[Objective]
) -> float:
    """Return the hypervolume with every minimised objective in units of its reference.

    With MACs referred to the unpruned network and accuracy to 0, it lies in [0, 1] and can be
    compared between networks.
    """
    units = [
        objective.reference
        for objective in objectives
        if objective.goal == "minimize" and objective.reference > 0
    ]
    return hypervolume(points, objectives) / math.prod(units)
