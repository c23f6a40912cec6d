"""Hypervolume over time, and who attains whom, pair by pair."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.front.objective import Objective
from autodepth.report.analysis.attainment import (
    attained,
    hypervolume_at,
    hypervolume_curve,
    spent_to_reach,
)

OBJECTIVES = (
    Objective(name="validation_accuracy", goal="maximize", reference=0.0),
    Objective(name="macs", goal="minimize", reference=40.0),
)
# Few values, so that equal and dominated points come up.
VALUES = st.tuples(st.integers(0, 10).map(lambda n: n / 10), st.integers(0, 50).map(float))
ENDED = st.lists(st.tuples(st.floats(0, 100, width=32), VALUES), max_size=12)


def staircase(points: list[tuple[float, float]]) -> float:
    """Area under accuracy over MACs, step after step, in units of the reference."""
    area, best = 0.0, 0.0
    for macs, accuracy in sorted((macs, accuracy) for accuracy, macs in points if macs < 40.0):
        area += max(0.0, accuracy - best) * (40.0 - macs) / 40.0
        best = max(best, accuracy)
    return area


def at_least_as_good(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] >= b[0] and a[1] <= b[1]


@given(ENDED, st.floats(0, 110, width=32))
def test_the_curve_is_the_hypervolume_of_what_had_ended_by_then(
    points: list[tuple[float, tuple[float, float]]], at: float
) -> None:
    curve = hypervolume_curve(points, OBJECTIVES)

    assert hypervolume_at(curve, at) == pytest.approx(
        staircase([values for spent, values in points if spent <= at])
    )
    assert list(curve) == sorted(curve)
    assert all(a[1] < b[1] for a, b in itertools.pairwise(curve))


@given(ENDED, st.floats(0.001, 1.2))
def test_a_hypervolume_is_reached_when_the_first_prefix_has_it(
    points: list[tuple[float, tuple[float, float]]], target: float
) -> None:
    reached = [
        spent
        for spent, _ in points
        if staircase([v for at, v in points if at <= spent]) >= target * (1 - 1e-9)
    ]
    found = spent_to_reach(hypervolume_curve(points, OBJECTIVES), target)
    assert found == min(reached, default=None)


@given(st.lists(VALUES, max_size=8), st.lists(VALUES, max_size=8))
def test_attainment_is_counted_pair_by_pair(
    own: list[tuple[float, float]], others: list[tuple[float, float]]
) -> None:
    count = sum(any(at_least_as_good(a, b) for a in own) for b in others)
    beaten = sum(any(at_least_as_good(a, b) and a != b for a in own) for b in others)
    assert attained(own, others, OBJECTIVES) == (count, beaten)
