"""Bounds as they are written, and by how much an answer breaks them."""

import pytest

from autodepth.errors import InputError
from autodepth.policy.policy import Policy
from autodepth.service.solving.answer import Answer, read_bounds

UNPRUNED = {"macs": 100.0, "latency_ms": 10.0, "latency_ms@phone": 20.0}


def answer(text, **told):
    return Answer(
        bounds=read_bounds(text),
        policy=Policy(branches=(3,), widths=((1, 0.5),)),
        costs={"macs": 70, "latency_ms": 8.0, "latency_ms@phone": 16.0},
        template=1, expected=None, spread=None, measured=None, **told,
    )  # fmt: skip


def test_bounds_hold_together_and_are_told_in_words():
    asked = answer("macs<=70%, latency_ms@phone <= 17")
    assert asked.asked == "macs <= 70%, latency_ms@phone <= 17"
    told = asked.to_dict()
    assert (told["removed"], told["widths"]) == ([3], {"1": 0.5})
    assert told["latency_ms@phone"] == 16.0


def test_what_was_measured_counts_before_what_was_predicted():
    assert answer("latency_ms<=80%").over(UNPRUNED) == 0.0
    times = {"latency_ms": 10.0}
    assert answer("latency_ms<=80%, macs<=70%", times=times).over(UNPRUNED) == pytest.approx(0.25)
    assert answer("macs<=70%", times=times).over(UNPRUNED) == 0.0
    assert answer("latency_ms@phone>=90%", times=times).over(UNPRUNED) == pytest.approx(1 / 9)


def test_what_is_no_bound_is_refused():
    with pytest.raises(InputError, match=r"a bound must be METRIC <= NUMBER.*'macs=1'"):
        read_bounds("macs=1")
    with pytest.raises(InputError, match=r"must be of macs, .*'accuracy >= 0\.9'"):
        read_bounds("macs<=50%, accuracy >= 0.9")
