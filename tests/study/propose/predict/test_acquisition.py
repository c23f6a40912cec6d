"""What a network may be worth to the front, before it is trained."""

from statistics import NormalDist, fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.front.hypervolume import hypervolume
from autodepth.front.objective import Objective
from autodepth.study.propose.predict.accuracy_model import Predicted
from autodepth.study.propose.predict.acquisition import ExpectedImprovement

ACCURACY = Objective(name="validation_accuracy", goal="maximize", reference=0.0)
MACS = Objective(name="macs", goal="minimize", reference=1000.0)
SHARES = st.integers(1, 1000).map(lambda thousandths: thousandths / 1000)


def front_of(*members, share=0.5, objectives=(ACCURACY, MACS)):
    improvement = ExpectedImprovement(objectives, whole_macs=1000.0, share=share)
    for trial, (cost, accuracy) in enumerate(members):
        improvement.ended(trial, [accuracy, 1000.0 * cost], 1000.0 * cost)
    return improvement


def worth(improvement, cost, mean, spread=0.0):
    predicted = Predicted(mean=mean, spread=spread)
    return improvement.worth(cost, predicted, improvement.expected_front)


def volume(points):
    return hypervolume([(a, 1000 * c) for c, a in points], (ACCURACY, MACS)) / 1000


@given(
    st.lists(st.tuples(SHARES, SHARES), max_size=8, unique=True),
    SHARES,
    SHARES,
    st.sampled_from([0.0, 0.01, 0.1]),
)
def test_the_worth_is_the_hypervolume_that_is_added_on_average(found, cost, mean, spread):
    improvement = front_of(*found)
    around = NormalDist(mean, spread) if spread else None
    chances = [around.inv_cdf((i + 0.5) / 400) if around else mean for i in range(400)]

    added = fmean(volume([*found, (cost, max(0.0, a))]) for a in chances) - volume(found)

    assert worth(improvement, cost, mean, spread) == pytest.approx(added, rel=0.03, abs=2e-4)


def test_what_runs_counts_as_the_member_that_it_will_hardly_miss():
    improvement = front_of((0.2, 0.5), (1.0, 0.6))
    alone = worth(improvement, 0.5, 0.58)
    improvement.began(8, 0.5, Predicted(mean=0.67, spread=0.1))
    beside = worth(improvement, 0.5, 0.58)
    improvement.ended(8, None)

    assert alone == pytest.approx(0.08 * 0.5)
    assert beside == pytest.approx(0.01 * 0.5)
    assert worth(improvement, 0.5, 0.58) == alone


def test_a_doubtful_network_is_worth_more_than_a_certain_one_that_adds_nothing():
    improvement = front_of((0.2, 0.5))

    assert worth(improvement, 0.3, 0.5) == 0.0
    assert worth(improvement, 0.3, 0.5, 0.1) > worth(improvement, 0.3, 0.5, 0.01) > 0


def test_turns_come_by_share():
    improvement = front_of(share=0.5)
    assert [improvement.turn() for _ in range(6)] == [False, True] * 3
    assert not any(front_of(share=0.0).turn() for _ in range(4))
    assert [improvement.turn(always=True) for _ in range(3)] == [True] * 3
    assert not front_of(share=0.0).turn(always=True)


def test_without_accuracy_against_macs_or_a_latency_all_is_left_to_the_sampler():
    memory = Objective(name="peak_memory_mb", goal="minimize", reference=9.0)
    improvement = front_of((0.2, 0.5), share=1.0, objectives=(ACCURACY, memory))

    assert not any(improvement.turn() for _ in range(4))


@pytest.mark.parametrize("name", ["latency_ms", "latency_ms@phone"])
def test_macs_stand_for_a_latency(name):
    latency = Objective(name=name, goal="minimize", reference=9.0)
    improvement = front_of(share=1.0, objectives=(ACCURACY, latency))
    improvement.ended(0, [0.5, 8.0], 200.0)

    assert improvement.turn()
    assert improvement.expected_front == [(0.2, 0.5)]
