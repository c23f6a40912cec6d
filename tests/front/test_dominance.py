"""Dominance and the front, by hand and by property."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.errors import InputError
from autodepth.front.dominance import dominates, pareto_front

GOALS = ("maximize", "minimize")
# Few distinct values, so that ties and equal points are common.
POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=25)
POINTS_3D = st.lists(st.tuples(*[st.integers(0, 3)] * 3), max_size=20)


def test_better_in_one_and_equal_in_the_other_dominates() -> None:
    assert dominates((0.9, 10), (0.9, 20), GOALS)
    assert dominates((0.91, 10), (0.9, 10), GOALS)


def test_a_trade_off_or_an_equal_point_does_not_dominate() -> None:
    assert not dominates((0.9, 20), (0.8, 10), GOALS)
    assert not dominates((0.8, 10), (0.9, 20), GOALS)
    assert not dominates((0.9, 10), (0.9, 10), GOALS)


def test_front_by_hand_keeps_the_order_of_arrival() -> None:
    points = [(0.90, 40), (0.85, 20), (0.84, 30), (0.95, 60), (0.90, 41)]
    assert pareto_front(points, GOALS) == [0, 1, 3]


def test_of_equal_points_the_first_is_kept() -> None:
    assert pareto_front([(0.9, 40), (0.9, 40)], GOALS) == [0]


def test_no_points_have_an_empty_front() -> None:
    assert pareto_front([], GOALS) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="must be finite, but got"):
        pareto_front([(0.9, 40), (value, 20)], GOALS)
    with pytest.raises(InputError, match="must be finite, but got"):
        dominates((0.9, 40), (0.9, value), GOALS)


def test_a_point_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(InputError, match="one value per objective, but got 3 for 2"):
        pareto_front([(0.9, 40, 1)], GOALS)


@given(POINTS)
def test_the_front_is_what_brute_force_finds(points: list[tuple[int, int]]) -> None:
    expected = [
        i
        for i, point in enumerate(points)
        if not any(dominates(other, point, GOALS) for other in points) and point not in points[:i]
    ]
    assert pareto_front(points, GOALS) == expected


@given(POINTS_3D)
def test_every_point_is_on_the_front_or_covered_by_it(points: list[tuple[int, ...]]) -> None:
    goals = ("maximize", "minimize", "maximize")
    front = [points[i] for i in pareto_front(points, goals)]
    assert not any(dominates(a, b, goals) for a in front for b in front)
    for point in points:
        assert point in front or any(dominates(member, point, goals) for member in front)


@given(POINTS, st.randoms(use_true_random=False))
def test_the_front_as_a_set_does_not_depend_on_the_order(
    points: list[tuple[int, int]], random_: random.Random
) -> None:
    shuffled = random_.sample(points, len(points))
    assert {points[i] for i in pareto_front(points, GOALS)} == {
        shuffled[i] for i in pareto_front(shuffled, GOALS)
    }
