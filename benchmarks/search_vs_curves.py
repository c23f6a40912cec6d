"""Hypervolume on the test split over device time, of a front chosen on the validation split.

Plain numbers: what was measured goes in, nothing is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from autodepth.front.dominance import pareto_front
from autodepth.front.hypervolume import relative_hypervolume
from autodepth.front.objective import Goal, Objective

_GOALS: tuple[Goal, Goal] = ("maximize", "minimize")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One finished trial.

    Args:
        ended: device seconds the run had spent when the trial ended.
        validation: validation accuracy, a fraction.
        macs: multiply-accumulates per image.
        test: test accuracy, a fraction; None if the trial never was on the front.
    """

    ended: float
    validation: float
    macs: float
    test: float | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """From `ended` device seconds on, the front has this test hypervolume, in [0, 1]."""

    ended: float
    hypervolume: float


def earliest_ends(seconds: Sequence[float], workers: int) -> list[float]:
    """Return the earliest moments, in seconds, at which trials can have ended.

    Each trial goes, in the order of starting, to the worker that is free first, and begins at
    once. Whatever a run really lost between trials, none of its trials ended before that.

    Args:
        seconds: how long each trial took, in the order in which they were started.
        workers: trials at the same time, at least 1.
    """
    free = [0.0] * workers
    ends = []
    for duration in seconds:
        first = min(range(workers), key=free.__getitem__)
        free[first] += duration
        ends.append(free[first])
    return ends


def front(points: Sequence[Point]) -> list[int]:
    """Return the indices of the points that no other dominates on the validation split."""
    return pareto_front([(point.validation, point.macs) for point in points], _GOALS)


def ever_on_front(points: Sequence[Point]) -> set[int]:
    """Return the indices of the points that were on the front at any time."""
    order = sorted(range(len(points)), key=lambda index: points[index].ended)
    return {
        order[member]
        for count in range(1, len(order) + 1)
        for member in front([points[index] for index in order[:count]])
    }


def curve(points: Sequence[Point], unpruned_macs: float) -> list[Step]:
    """Return a step for every end of a trial, in order; the corner is accuracy 0, `unpruned_macs`.

    Test hypervolume may fall: a trial that looks better on the validation split may be worse.
    """
    objectives = [
        Objective(name="validation_accuracy", goal="maximize", reference=0.0),
        Objective(name="macs", goal="minimize", reference=unpruned_macs),
    ]
    steps: list[Step] = []
    ordered = sorted(points, key=lambda point: point.ended)
    for count in range(1, len(ordered) + 1):
        members = [ordered[index] for index in front(ordered[:count])]
        tested = [(_test(point), point.macs) for point in members]
        volume = relative_hypervolume(tested, objectives)
        steps.append(Step(ended=ordered[count - 1].ended, hypervolume=volume))
    return steps


def _test(point: Point) -> float:
    assert point.test is not None, "a member of the front must have been tested"
    return point.test


def final(steps: Sequence[Step]) -> float:
    """Return the hypervolume at the end; 0 without a trial."""
    return steps[-1].hypervolume if steps else 0.0


def reached(steps: Sequence[Step], level: float) -> float | None:
    """Return after how many device seconds a level was first reached; None if it never was."""
    return next((step.ended for step in steps if step.hypervolume >= level), None)


def kept(steps: Sequence[Step], level: float) -> float | None:
    """Return after how many device seconds a level was reached and held to the end, or None."""
    since: float | None = None
    for step in steps:
        if step.hypervolume < level:
            since = None
        elif since is None:
            since = step.ended
    return since


def at(steps: Sequence[Step], moment: float) -> float:
    """Return the hypervolume after so many device seconds; 0 before the first trial ended."""
    return final([step for step in steps if step.ended <= moment])


def mean_curve(curves: Sequence[Sequence[Step]]) -> list[Step]:
    """Return the mean of several runs' hypervolume, a step for every end of any of their trials."""
    ends = sorted({step.ended for steps in curves for step in steps})
    return [Step(ended=end, hypervolume=fmean(at(steps, end) for steps in curves)) for end in ends]
