"""Trials at a rung: who is judged, by whom, and who may never be stopped."""

import math
import random
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodepth.errors import InputError
from autodepth.front.dominance import pareto_front
from autodepth.front.ranking import ranks as ranks_of
from autodepth.search.rungs import Rungs

points = st.lists(
    st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.integers(1, 6).map(float)),
    min_size=1,
    max_size=25,
)


def run(curves, rungs=None, epochs=8):
    """Run trials one after the other: (accuracy at half, accuracy at the end, cost)."""
    rungs = rungs or Rungs(at=(0.5,))
    verdicts = []
    for trial, (half, end, cost) in enumerate(curves):
        for epoch in range(1, epochs + 1):
            accuracy = half if epoch <= epochs // 2 else end
            verdict = rungs.report(trial, "fine_tune", epoch, epochs, accuracy, cost)
            if verdict is not None:
                verdicts.append(verdict)
                if verdict.stop:
                    break
    return verdicts


def test_each_share_of_a_schedule_is_one_rung_and_the_last_epoch_none():
    for epochs, expected in ((1, []), (2, [1]), (4, [1, 2]), (16, [4, 8])):
        rungs = Rungs(at=(0.25, 0.5))
        judged = [
            epoch
            for epoch in range(1, epochs + 1)
            if rungs.report(0, "fine_tune", epoch, epochs, 0.5, 1.0)
        ]
        assert judged == expected


def test_a_hopeless_trial_is_stopped_and_told_by_whom():
    good = [(0.5 + 0.02 * i, 0.9 + 0.005 * i, 1.0 + 0.1 * i) for i in range(10)]
    *_, last = run([*good, (0.1, 0.2, 5.0)])

    assert last.stop
    assert last.trial == 10
    assert "points below trial" in last.reason
    assert last.rank == 2


def test_nobody_is_stopped_before_enough_came_to_the_end():
    assert not any(verdict.stop for verdict in run([(0.9, 0.95, 1.0), (0.1, 0.2, 2.0)] * 2))


def test_accuracy_that_is_not_a_number_stops():
    (verdict,) = run([(math.nan, 0.9, 1.0)])

    assert verdict.stop
    assert "not a number" in verdict.reason


def test_a_cheap_network_is_not_held_against_dear_ones():
    dear = [(0.8 + 0.01 * i, 0.95, 10.0) for i in range(12)]
    *_, last = run([*dear, (0.3, 0.4, 1.0)])

    assert not last.stop  # it is the best of its cost


@settings(deadline=None)
@given(points, st.integers(0, 999))
def test_whoever_is_on_the_first_front_of_a_rung_goes_on(found, seed):
    generator = random.Random(seed)
    curves = [(half, min(1.0, half + generator.random() / 4), cost) for half, cost in found]
    rungs = Rungs(at=(0.5,), fewest=4, keep=0.0, margin=0.0)
    there = []
    for trial, (half, end, cost) in enumerate(curves):
        there.append((half, cost))
        verdict = rungs.report(trial, "fine_tune", 1, 2, half, cost)
        rungs.report(trial, "fine_tune", 2, 2, end, cost)
        if trial in pareto_front(there, ["maximize", "minimize"]):
            assert not verdict.stop


@given(points)
def test_ranks_agree_with_peeling_fronts_by_hand(found):
    goals = ("maximize", "minimize")
    ranks = ranks_of(found, goals)

    def better(a, b):
        return a[0] >= b[0] and a[1] <= b[1] and a != b

    left, rank = dict(enumerate(found)), 0
    while left:
        rank += 1
        front = [i for i, p in left.items() if not any(better(q, p) for q in left.values())]
        assert all(ranks[i] == rank for i in front)
        for i in front:
            del left[i]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [({"at": (0.5, 0.25)}, "rise"), ({"at": (1.0,)}, r"\(0, 1\)"), ({"keep": 2}, "keep must be")],
)
def test_rules_out_of_range_are_refused(kwargs, message):
    with pytest.raises(InputError, match=message):
        Rungs(**kwargs)


def test_verdicts_are_kept_for_whoever_asks_why():
    rungs = Rungs(at=(0.25, 0.5))
    run([(0.1 * i, 0.5, float(c)) for i, c in product(range(3), range(1, 3))], rungs)

    assert len(rungs.verdicts) == 12
    assert {verdict.rung for verdict in rungs.verdicts} == {"fine_tune 25 %", "fine_tune 50 %"}
