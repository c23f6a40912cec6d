"""Ranks and contributions, by hand and against taking fronts away one by one."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.errors import InputError
from autodepth.front.dominance import dominates
from autodepth.front.hypervolume import hypervolume
from autodepth.front.objective import Objective
from autodepth.front.ranking import contributions, ranks

GOALS = ("maximize", "minimize")
# Few distinct values, so that ties and equal points are common.
POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=25)


def peeled(points):
    """Take the first front away, then the next, until nothing is left."""
    found, left, rank = {}, set(range(len(points))), 1
    while left:
        front = {i for i in left if not any(dominates(points[j], points[i], GOALS) for j in left)}
        found |= dict.fromkeys(front, rank)
        left, rank = left - front, rank + 1
    return [found[i] for i in range(len(points))]


def test_ranks_by_hand():
    points = [(0.90, 40), (0.85, 20), (0.84, 30), (0.95, 60), (0.90, 41), (0.80, 42)]

    assert ranks(points, GOALS) == [1, 1, 2, 1, 2, 3]


@given(POINTS)
def test_ranks_are_those_of_fronts_taken_away_one_by_one(points):
    assert ranks(points, GOALS) == peeled(points)


@given(POINTS, st.randoms(use_true_random=False))
def test_neither_ranks_nor_contributions_depend_on_the_order(points, generator):
    order = list(range(len(points)))
    generator.shuffle(order)
    shuffled = [points[i] for i in order]

    assert ranks(shuffled, GOALS) == [ranks(points, GOALS)[i] for i in order]
    assert contributions(shuffled, GOALS) == [contributions(points, GOALS)[i] for i in order]


def test_contributions_by_hand():
    # The corner is (0, 22): a tenth of the range 20 beyond the cost 20, as for the accuracy.
    points = [(0.1, 2), (0.9, 10), (1.0, 20)]

    assert contributions(points, GOALS) == pytest.approx([0.09 * 8, 0.8 * 10, 0.1 * 1.8], abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=15))
def test_a_contribution_is_the_hypervolume_lost_with_the_point(points):
    accuracy, cost = zip(*points, strict=True)
    corner = (
        Objective(
            name="validation_accuracy",
            goal="maximize",
            reference=min(accuracy) - 0.1 * (max(accuracy) - min(accuracy)),
        ),
        Objective(
            name="macs", goal="minimize", reference=max(cost) + 0.1 * (max(cost) - min(cost))
        ),
    )
    rank = ranks(points, GOALS)
    for index, found in enumerate(contributions(points, GOALS)):
        front = [i for i in range(len(points)) if rank[i] == rank[index]]
        others = [points[i] for i in front if i != index]
        whole = hypervolume([points[i] for i in front], corner)

        assert found == pytest.approx(whole - hypervolume(others, corner), abs=1e-6)


def test_many_points_on_one_line_each_have_a_rank():
    generator = random.Random(0)
    points = [(-i, i) for i in range(500)]
    generator.shuffle(points)

    assert sorted(ranks(points, GOALS)) == list(range(1, 501))


def test_no_points_have_no_ranks():
    assert ranks([], GOALS) == contributions([], GOALS) == []


@pytest.mark.parametrize(
    ("points", "goals", "message"),
    [
        ([(1, 2, 3)], ("maximize",) * 3, "two goals, but got 3"),
        ([(1, 2, 3)], GOALS, "one value per objective, but got 3 for 2"),
        ([(math.nan, 2)], GOALS, "must be finite"),
    ],
)
def test_what_cannot_be_ranked_is_refused(points, goals, message):
    with pytest.raises(InputError, match=message):
        ranks(points, goals)
    with pytest.raises(InputError, match=message):
        contributions(points, goals)
