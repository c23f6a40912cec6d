"""By how much a network breaks the bounds that were asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from autodepth.space.objectives import Constraint
from autodepth.trial.result import OperatingPoint

_UNKNOWN = 1.0  # by what share a bound on what is not known counts as broken


def violations_of(
    point: OperatingPoint, constraints: Sequence[Constraint], unpruned: Mapping[str, float]
) -> dict[str, float]:
    """Return by what share of its bound each constraint is broken, above 0 where it is."""
    return {
        str(bound): bound.excess(point.value(bound.metric), unpruned.get(bound.metric, math.nan))
        if point.knows([bound.metric])
        else _UNKNOWN
        for bound in constraints
    }
