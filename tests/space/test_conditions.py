"""Conditions hold when they say."""

import pytest

from autodepth.errors import InputError
from autodepth.space.conditions import Condition, parse_wanted


@pytest.mark.parametrize(
    ("wanted", "holds_for", "fails_for"),
    [
        ("power", ["power"], ["linear", None]),
        (0.5, [0.5], [0.4]),
        (("power", "cosine"), ["power", "cosine"], ["linear"]),
        ("> 0", [1, 0.1], [0, -1, None, "1"]),
        (">= 0.5", [0.5, 1], [0.4]),
        ("<1e-3", [0.0], [1e-3, 1]),
        ("<= -2", [-2, -3.5], [0]),
    ],
)
def test_a_condition_holds_for_what_it_wants(wanted, holds_for, fails_for):
    condition = Condition((("other", wanted),))
    assert all(condition.holds({"other": value}) for value in holds_for)
    assert not any(condition.holds({"other": value}) for value in fails_for)
    assert not condition.holds({}), "what does not count itself makes nothing count"


def test_all_of_a_condition_must_hold():
    condition = Condition((("a", "> 0"), ("b", "x")))
    assert condition.holds({"a": 1, "b": "x"})
    assert not condition.holds({"a": 0, "b": "x"})
    assert condition.names == ("a", "b")


@pytest.mark.parametrize("text", ["> x", ">", "== 3", "<> 3", "> 1 and 2", [], {}, [[1]], "=1"])
def test_only_the_fixed_grammar_is_read(text):
    with pytest.raises(InputError, match="must be a value, a list of values, or a comparison"):
        parse_wanted(text)
