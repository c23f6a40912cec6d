"""Choosing an operating point."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.errors import SelectionError
from autodepth.front.objective import Objective
from autodepth.front.selection import FrontPoint, believed, front_points, select
from autodepth.trial.result import OperatingPoint


def make(trial: int, accuracy: float, macs: int, **costs: float) -> FrontPoint:
    values = {
        "effective_macs": macs,
        "parameters": macs // 150,
        "size_bytes": macs // 40,
        "latency_ms": macs / 1e7,
    }
    point = OperatingPoint(
        validation_accuracy=accuracy, validation_loss=0.1, macs=macs, **(values | costs)
    )
    return FrontPoint(trial=trial, point=point, policy={"p_L": 0.5}, removed=(2, 3))


FRONT = [
    make(1, 0.60, 5_000_000),
    make(4, 0.93, 12_000_000),
    make(7, 0.95, 22_000_000),
    make(9, 0.97, 40_000_000),
]


@pytest.mark.parametrize(
    ("wish", "trial"),
    [
        ("knee", 4),
        ("best-accuracy", 9),
        ("smallest", 1),
        ("trial:7", 7),
        ("macs<=25M", 7),
        ("macs <= 0.012G", 4),
        ("accuracy>=0.94", 7),
        ("accuracy>=94%", 7),
        ("validation_accuracy>=0.5", 1),
        ("params<=0.1M", 4),
        ("latency_ms<=2.5", 7),
        ("size_bytes<=300k", 4),
        ("macs<=25M,accuracy>=0.9", 7),
        ("macs<=25M, latency_ms<=1.5", 4),
        ("macs<=2.2e7", 7),
        ("accuracy>=best-1%", 9),
        ("accuracy>=best-2%", 7),
        ("accuracy >= best - 0.04, macs<=30M", 7),
    ],
)
def test_each_wish_chooses(wish: str, trial: int) -> None:
    assert select(FRONT, wish).trial == trial
    assert select(FRONT[::-1], wish).trial == trial


def test_the_knee_of_one_point_is_that_point_and_of_two_the_more_accurate() -> None:
    assert select(FRONT[:1], "knee").trial == 1
    assert select(FRONT[:2], "knee").trial == 4


def test_the_knee_of_a_front_below_its_line_is_an_extreme_never_the_worst_bargain() -> None:
    sagging = [make(0, 0.5, 10), make(1, 0.55, 90), make(2, 0.9, 100)]
    assert select(sagging, "knee").trial == 2


def test_points_are_chosen_by_what_is_believed_of_them() -> None:
    """4 looked best of its size by luck; 9, which was not confirmed, is believed less, too."""
    confirmed = {4: 0.80, 7: 0.945}
    expected = {1: 0.60 - 0.0675, 4: 0.80, 7: 0.945, 9: 0.97 - 0.0675}
    told = {p.trial: p.point.validation_accuracy for p in believed(FRONT, confirmed)}

    assert told == pytest.approx(expected)
    assert select(FRONT, "knee", confirmed) is FRONT[2]
    assert select(FRONT, "best-accuracy", confirmed) is FRONT[2]
    assert select(FRONT, "trial:9", confirmed) is FRONT[3]
    assert select(FRONT, "accuracy>=0.9", confirmed) is FRONT[2]


def test_nobody_is_believed_more_for_the_luck_of_others() -> None:
    told = believed(FRONT, {1: 0.7})
    accuracies = [p.point.validation_accuracy for p in told]

    assert accuracies == [0.7, 0.93, 0.95, 0.97]
    assert believed(FRONT, None) == FRONT


def test_ties_go_to_accuracy_then_macs_then_the_earlier_trial() -> None:
    twins = [make(8, 0.9, 20), make(3, 0.9, 20), make(5, 0.9, 30), make(6, 0.8, 20)]
    assert select(twins, "best-accuracy").trial == 3
    assert select(twins, "smallest").trial == 3
    assert select(twins, "macs<=30").trial == 3


def test_an_impossible_wish_names_the_nearest_points() -> None:
    with pytest.raises(SelectionError) as caught:
        select(FRONT, "macs<=4M")
    assert str(caught.value) == (
        "no point of the front has macs<=4M; nearest: trial 1 (macs=5.00 M), trial 4 (macs=12.00 M)"
    )


def test_limits_that_only_fail_together_show_both_values() -> None:
    with pytest.raises(SelectionError, match=r"trial 7 \(macs=22.00 M, validation_accuracy=0.95\)"):
        select(FRONT, "macs<=20M,accuracy>=0.95")


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ("kne", "but got 'kne', did you mean 'knee'"),
        ("", "a selection must be knee, best-accuracy"),
        ("macs<1M", "a selection must be"),
        ("macs<=1X", "a selection must be"),
        ("knee,macs<=1M", "a selection must be"),
        ("mcas<=1M", "but got 'mcas', did you mean 'macs'"),
        ("latency<=1", "did you mean 'latency_ms'"),
        ("macs<=50%", "only an accuracy can be selected in % or from best, got 'macs<=50%'"),
        ("macs<=best-1", "only an accuracy can be selected in % or from best"),
        ("trial:2", r"must name a trial of the front \(1, 4, 7, 9\), but got 'trial:2'"),
        ("__class__<=1", "a selection's metric must be one of"),
    ],
)
def test_a_wish_that_cannot_be_read_says_what_to_write(wish: str, message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        select(FRONT, wish)


def test_an_empty_front_is_said_to_be_empty() -> None:
    with pytest.raises(SelectionError, match="the front has no points yet"):
        select([], "knee")


def test_a_point_is_plain_values_for_json() -> None:
    values = json.loads(json.dumps(FRONT[0].to_dict()))
    assert values["trial"] == 1
    assert values["macs"] == 5_000_000
    assert values["policy"] == {"p_L": 0.5}
    assert values["removed"] == [2, 3]
    assert {"validation_accuracy", "parameters", "size_bytes", "latency_ms"} <= set(values)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=1, max_size=15))
def test_the_knee_is_on_the_front_of_whatever_it_is_given(pairs: list[tuple[int, int]]) -> None:
    points = [make(i, accuracy / 20, macs) for i, (accuracy, macs) in enumerate(pairs)]
    objectives = (
        Objective(name="validation_accuracy", goal="maximize", reference=0.0),
        Objective(name="macs", goal="minimize", reference=30.0),
    )
    assert select(points, "knee") in front_points(points, objectives)
