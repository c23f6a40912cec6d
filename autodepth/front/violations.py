"""By how much a network breaks the bounds that were asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from autodepth.space.objectives import Constraint
from autodepth.trial.result import OperatingPoint


def violations_of(
    point: OperatingPoint, constraints: Sequence[Constraint], unpruned: Mapping[str, float]
) -> dict[str, float]:
    """Return by what share of its bound each constraint is broken, above 0 where it is."""
    return {
        str(bound): bound.excess(point.value(bound.metric), unpruned.get(bound.metric, math.nan))
        for bound in constraints
    }
