"""Choosing one operating point of a front by what a person wishes for."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from autodepth.errors import SelectionError, did_you_mean
from autodepth.front.dominance import pareto_front
from autodepth.front.objective import Objective, objective_values
from autodepth.space.objectives import ALIASES, METRICS, SCALES, is_at
from autodepth.trial.result import ACCURACY, OperatingPoint
from autodepth.units import format_macs

_UNITS = SCALES | {"%": 0.01}  # of images: a cost is never told in % here
_LIMIT = re.compile(
    r"(?P<metric>\w+(?:@[\w.-]+)?)\s*(?P<sign><=|>=)\s*"
    r"(?P<best>best\s*-\s*)?"
    r"(?P<number>[0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*(?P<unit>[kMG%]?)"
)
_COSTS = tuple(metric for metric in METRICS if metric != ACCURACY)
_NAMED = ("knee", "best-accuracy", "smallest")
_GRAMMAR = "knee, best-accuracy, smallest, trial:ID, or limits such as macs<=1M,accuracy>=0.97"


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """One member of a front.

    Args:
        trial: number of the trial that produced it.
        point: what the network costs and achieves.
        policy: the policy as `Policy.to_dict` writes it.
        removed: numbers (1..L) of the branches that were removed.
    """

    trial: int
    point: OperatingPoint
    policy: Mapping[str, Any]
    removed: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON, the operating point's among them by name."""
        return {
            "trial": self.trial,
            **self.point.to_dict(),
            "policy": dict(self.policy),
            "removed": list(self.removed),
        }


def front_points(
    candidates: Sequence[FrontPoint], objectives: Sequence[Objective]
) -> list[FrontPoint]:
    """Return the candidates that no other dominates, in the order they came.

    One of which an objective is not known is no member.
    """
    names = [objective.name for objective in objectives]
    candidates = [candidate for candidate in candidates if candidate.point.knows(names)]
    values = objective_values([candidate.point for candidate in candidates], objectives)
    front = pareto_front(values, [objective.goal for objective in objectives])
    return [candidates[index] for index in front]


def believed(
    points: Sequence[FrontPoint], confirmed: Mapping[int, float] | None
) -> list[FrontPoint]:
    """Return the points with the accuracy that is believed of each.

    What came to a front is the best of many and looks better than it is. Where a point was
    confirmed that is the mean over fresh seeds; any other one is taken to lose on fresh seeds what
    those that were confirmed lost on average, and to gain nothing.

    Args:
        points: with the accuracy they came to the front with.
        confirmed: mean accuracy on fresh seeds by trial, of those that were confirmed.
    """
    known = confirmed or {}
    lost = [p.point.validation_accuracy - known[p.trial] for p in points if p.trial in known]
    usual = max(0.0, fmean(lost)) if lost else 0.0

    def accuracy(point: FrontPoint) -> float:
        raw = point.point.validation_accuracy
        return known.get(point.trial, max(0.0, raw - usual))

    return [replace(p, point=replace(p.point, validation_accuracy=accuracy(p))) for p in points]


def best_first(
    points: Sequence[FrontPoint], confirmed: Mapping[int, float] | None = None
) -> list[FrontPoint]:
    """Return the points by the accuracy that is believed of each, of equals the cheaper one first.

    Arguments as of `believed`.
    """
    as_found = {point.trial: point for point in points}
    ordered = sorted(
        believed(points, confirmed), key=lambda p: (-p.point.validation_accuracy, p.point.macs)
    )
    return [as_found[point.trial] for point in ordered]


def select(
    points: Sequence[FrontPoint], wish: str, confirmed: Mapping[int, float] | None = None
) -> FrontPoint:
    """Choose one point.

    Args:
        points: the front, in any order.
        wish: one of

            - `knee`: farthest above the straight line from the smallest to the most accurate
              point, accuracy and MACs each scaled to [0, 1];
            - `best-accuracy`, `smallest` (fewest MACs), `trial:ID`;
            - limits `METRIC<=NUMBER` or `METRIC>=NUMBER` joined by commas, all of which must hold;
              a number may end in k, M, G, and an accuracy in %; `accuracy>=best-1%` counts from
              the highest accuracy of the front. Limits on accuracy alone choose the fewest MACs
              among the points that fit, any limit on a cost the highest accuracy.
        confirmed: mean accuracy on fresh seeds by trial; points are then chosen by what is
            believed of them, see `believed`, and `trial:ID` as ever.

    Returns:
        The chosen point; ties go to the higher accuracy, then fewer MACs, then the earlier trial.

    Raises:
        SelectionError: the wish cannot be read, or no point fits it.
    """
    if not points:
        raise SelectionError(f"nothing to select {wish!r} from: the front has no points yet")
    if wish.startswith("trial:"):
        return _select_trial(points, wish)
    as_found = {point.trial: point for point in points}
    return as_found[_selected(believed(points, confirmed), wish).trial]


def _selected(points: Sequence[FrontPoint], wish: str) -> FrontPoint:
    if wish == "knee":
        height = _heights(points)
        return min(points, key=lambda p: (-height[p.trial], _best_first(p)))
    if wish == "best-accuracy":
        return min(points, key=_best_first)
    if wish == "smallest":
        return min(points, key=_smallest_first)
    best = max(p.point.validation_accuracy for p in points)
    of_task = tuple(points[0].point.metrics)
    limits = [_parse_limit(part.strip(), wish, best, of_task) for part in wish.split(",")]
    return _select_within(points, limits)


@dataclass(frozen=True, kw_only=True)
class _Limit:
    text: str
    metric: str
    holds: Callable[[float, float], bool]
    bound: float

    def value(self, point: FrontPoint) -> float:
        return point.point.value(self.metric)

    def excess(self, point: FrontPoint) -> float:
        """How far outside the limit a point lies, as a share of the limit; 0 inside."""
        value = self.value(point)
        return 0.0 if self.holds(value, self.bound) else abs(value - self.bound) / (self.bound or 1)


def _parse_limit(part: str, wish: str, best: float, of_task: Sequence[str]) -> _Limit:
    match = _LIMIT.fullmatch(part)
    if not match:
        raise SelectionError(
            f"a selection must be {_GRAMMAR}, but got {wish!r}" + did_you_mean(part, _NAMED)
        )
    known = (*ALIASES, *METRICS) if not of_task else (*of_task, "params", *_COSTS)
    metric = ALIASES.get(match["metric"], match["metric"])
    if f"validation_{metric}" in of_task:
        metric = f"validation_{metric}"
    if metric not in known and not is_at(metric):
        raise SelectionError(
            f"a selection's metric must be one of {', '.join(known)}, but got {match['metric']!r}"
            + did_you_mean(match["metric"], known)
        )
    if metric != "validation_accuracy" and (match["unit"] == "%" or match["best"]):
        raise SelectionError(f"only an accuracy can be selected in % or from best, got {part!r}")
    number = float(match["number"]) * _UNITS[match["unit"]]
    return _Limit(
        text=part,
        metric=metric,
        holds=operator.le if match["sign"] == "<=" else operator.ge,
        # Accuracies are shares of images, so a point exactly 1 % below is not lost to rounding.
        bound=best - number - 1e-9 if match["best"] else number,
    )


def _select_within(points: Sequence[FrontPoint], limits: Sequence[_Limit]) -> FrontPoint:
    fitting = [
        p for p in points if all(limit.holds(limit.value(p), limit.bound) for limit in limits)
    ]
    if not fitting:
        nearest = sorted(points, key=lambda p: sum(limit.excess(p) for limit in limits))[:2]
        raise SelectionError(
            f"no point of the front has {' and '.join(limit.text for limit in limits)}; nearest: "
            + ", ".join(_describe(point, limits) for point in nearest)
        )
    accuracy_only = all(limit.metric == points[0].point.metric for limit in limits)
    return min(fitting, key=_smallest_first if accuracy_only else _best_first)


def _select_trial(points: Sequence[FrontPoint], wish: str) -> FrontPoint:
    number = wish.removeprefix("trial:").strip()
    for point in points:
        if str(point.trial) == number:
            return point
    known = ", ".join(str(point.trial) for point in points)
    raise SelectionError(f"trial:ID must name a trial of the front ({known}), but got {wish!r}")


def _heights(points: Sequence[FrontPoint]) -> dict[int, float]:
    """Return each trial's height above the line between the extremes, times sqrt(2).

    With fewer than three points all heights are 0, and the tie goes to the most accurate.
    """
    macs = [p.point.macs for p in points]
    accuracy = [p.point.validation_accuracy for p in points]
    macs_span = (max(macs) - min(macs)) or 1
    accuracy_span = (max(accuracy) - min(accuracy)) or 1.0
    return {
        p.trial: (p.point.validation_accuracy - min(accuracy)) / accuracy_span
        - (p.point.macs - min(macs)) / macs_span
        for p in points
    }


def _best_first(point: FrontPoint) -> tuple[float, ...]:
    return (-point.point.validation_accuracy, point.point.macs, point.trial)


def _smallest_first(point: FrontPoint) -> tuple[float, ...]:
    return (point.point.macs, -point.point.validation_accuracy, point.trial)


def _describe(point: FrontPoint, limits: Sequence[_Limit]) -> str:
    values = {limit.metric: limit.value(point) for limit in limits}
    counts = ("macs", "parameters")
    shown = (f"{m}={format_macs(v) if m in counts else f'{v:.4g}'}" for m, v in values.items())
    return f"trial {point.trial} ({', '.join(shown)})"
