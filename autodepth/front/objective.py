"""What a study optimises."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from autodepth.errors import InputError, did_you_mean
from autodepth.space.objectives import METRICS, Goal, is_at, is_of_task
from autodepth.trial.result import OperatingPoint

GOALS: tuple[Goal, ...] = get_args(Goal)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One metric to drive up or down.

    Args:
        name: a field of `OperatingPoint`, or of one of its metrics.
        goal: `maximize` or `minimize`.
        reference: the worst value that still counts, in the metric's own unit: the corner the
            hypervolume is measured from. Fixed for a study's life, or its curve means nothing.

    Raises:
        InputError: a name or goal is unknown, or the reference is not finite.
    """

    name: str
    goal: Goal
    reference: float

    def __post_init__(self) -> None:
        own = (self.name,) if is_of_task(self.name) or is_at(self.name) else METRICS
        for what, value, known in (
            ("an objective", self.name, own),
            (f"the goal of {self.name}", self.goal, GOALS),
        ):
            if value not in known:
                raise InputError(
                    f"{what} must be one of {', '.join(known)}, but got {value!r}"
                    + did_you_mean(value, known)
                )
        if not math.isfinite(self.reference):
            raise InputError(
                f"the reference of {self.name} must be finite, but got {self.reference}"
            )

    def value(self, point: OperatingPoint) -> float:
        """Return this objective's value at an operating point."""
        return point.value(self.name)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON; `Objective(**values)` reads them back."""
        return asdict(self)


def objective_values(
    points: Sequence[OperatingPoint], objectives: Sequence[Objective]
) -> list[tuple[float, ...]]:
    """Return one row per point, one column per objective."""
    return [tuple(objective.value(point) for objective in objectives) for point in points]
