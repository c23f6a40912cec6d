"""What a network of a known cost may be worth to the front, before it is trained."""

import math
from statistics import NormalDist, fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.front.hypervolume import hypervolume
from autodepth.front.objective import Objective
from autodepth.study.propose.acquisition import ExpectedImprovement

ACCURACY = Objective(name="validation_accuracy", goal="maximize", reference=0.0)
MACS = Objective(name="macs", goal="minimize", reference=1000.0)
SHARES = st.integers(1, 1000).map(lambda thousandths: thousandths / 1000)


def gaps_after(*members, share=0.5, objectives=(ACCURACY, MACS)):
    improvement = ExpectedImprovement(objectives, whole_macs=1000.0, share=share)
    for trial, (cost, accuracy) in enumerate(members):
        improvement.ended(trial, [accuracy, 1000.0 * cost])
    return improvement


def test_the_middle_of_the_widest_gap_is_worth_most_and_a_member_nothing():
    improvement = gaps_after((0.2, 0.5), (0.6, 0.6), (0.7, 0.61), (1.0, 0.62))

    assert improvement.worth(0.2) == improvement.worth(0.6) == 0.0
    assert improvement.worth(0.4) == pytest.approx(0.05 * 0.2)
    assert improvement.worth(0.4) > improvement.worth(0.3) > improvement.worth(0.65) > 0
    assert improvement.worth(0.1) == pytest.approx(
        0.25 * 0.1
    )  # from nothing to the cheapest member


@given(st.lists(st.tuples(SHARES, SHARES), max_size=8, unique=True), SHARES)
def test_the_worth_is_the_hypervolume_that_a_network_around_the_line_adds_on_average(found, cost):
    members = [*(m for m in found if m != (1.0, 1.0)), (1.0, 1.0)]
    front = [m for m in members
             if not any(o != m and o[0] <= m[0] and o[1] >= m[1] for o in members)]  # fmt: skip
    left = max((m for m in front if m[0] <= cost), default=(0.0, 0.0))
    right = min((m for m in front if m[0] > cost), default=left)
    slope = (right[1] - left[1]) / (right[0] - left[0]) if right != left else 0.0
    on_line = left[1] + slope * (cost - left[0])
    missed = [c for c, _ in set(members) - set(front)]
    tried = missed.count(cost) if cost == left[0] else sum(left[0] < c < right[0] for c in missed)
    improvement = gaps_after(*members)

    around = NormalDist(on_line, improvement.spread) if improvement.spread else None
    chances = [around.inv_cdf((i + 0.5) / 200) if around else on_line for i in range(200)]
    added = fmean(volume([*front, (cost, max(0.0, a))]) for a in chances) - volume(front)

    expected = added / (1 + tried) if right != left else 0.0
    assert improvement.worth(cost) == pytest.approx(expected, rel=0.02, abs=1e-4)


def volume(points):
    return hypervolume([(a, 1000 * c) for c, a in points], (ACCURACY, MACS)) / 1000


def test_the_spread_is_how_far_complete_networks_came_above_the_line():
    improvement = gaps_after((0.2, 0.5), (1.0, 0.6))
    assert improvement.spread == 0

    improvement.began(7, 0.6, 0.9)
    improvement.ended(7, [0.545, 600.0])  # 0.05 above 0.9 of what the line has there
    assert improvement.spread == pytest.approx(0.05 * math.sqrt(2 * math.pi))
    improvement.ended(8, [0.3, 500.0])
    improvement.ended(9, [0.9, 100.0])  # outside of the line
    assert improvement.spread == pytest.approx(0.05 / 2 * math.sqrt(2 * math.pi))
    improvement.ended(10, [0.2, 500.0], complete=False)
    improvement.ended(11, None)
    assert improvement.spread == pytest.approx(0.05 / 2 * math.sqrt(2 * math.pi))


def test_a_better_network_of_a_member_s_cost_is_worth_trying_the_less_the_more_were_tried():
    improvement = gaps_after((0.2, 0.5), (0.6, 0.6), (1.0, 0.62))
    improvement.ended(
        5, [0.63, 600.0]
    )  # above the member before it, so there is room above members
    fresh = improvement.worth(0.2)
    improvement.ended(6, [0.4, 200.0], complete=False)
    once = improvement.worth(0.2)
    improvement.began(7, 0.2)
    running = improvement.worth(0.2)

    assert fresh > 0
    assert once == pytest.approx(fresh / 2)
    assert running == pytest.approx(fresh / 3)


def test_what_missed_the_front_in_a_gap_lowers_its_worth_and_what_runs_there_is_a_member():
    improvement = gaps_after((0.2, 0.5), (1.0, 0.6))
    fresh = improvement.worth(0.6)
    improvement.ended(7, [0.4, 500.0])
    once = improvement.worth(0.6)
    improvement.began(8, 0.3)
    twice = improvement.worth(0.6)
    improvement.ended(8, None)

    assert once == pytest.approx(fresh / 2)
    assert twice == pytest.approx((0.1 / 0.8) * (0.6 - 0.3) * (1 - 0.6) / 2)
    assert improvement.worth(0.6) == once


def test_a_parent_that_promises_less_is_worth_less_and_nothing_below_the_cheaper_neighbour():
    improvement = gaps_after((0.2, 0.5), (1.0, 0.6))

    assert improvement.worth(0.6, 0.95) == pytest.approx((0.95 * 0.55 - 0.5) * 0.4)
    assert improvement.worth(0.6, 0.9) == 0.0


def test_beyond_the_dearest_member_there_is_hope_until_the_whole_network_is_known():
    assert gaps_after((0.2, 0.5)).worth(0.6) > 0
    assert gaps_after((0.2, 0.5), (1.0, 0.4)).worth(0.6) == 0.0


def test_turns_come_by_share_once_something_is_known():
    improvement = gaps_after((0.2, 0.5), share=0.5)
    assert [improvement.turn() for _ in range(6)] == [False, True] * 3
    assert not any(gaps_after(share=1.0).turn() for _ in range(4))
    assert not any(gaps_after((0.2, 0.5), share=0.0).turn() for _ in range(4))
    assert [improvement.turn(always=True) for _ in range(3)] == [True] * 3
    assert not gaps_after(share=1.0).turn(always=True)
    assert not gaps_after((0.2, 0.5), share=0.0).turn(always=True)


def test_without_accuracy_against_macs_all_is_left_to_the_sampler():
    latency = Objective(name="latency_ms", goal="minimize", reference=9.0)
    improvement = gaps_after((0.2, 0.5), share=1.0, objectives=(ACCURACY, latency))

    assert not any(improvement.turn() for _ in range(4))
