"""What counts as a number in YAML, and how values are shown in messages."""

import math

import pytest

from autodepth.policy.values import is_number, is_whole, shown


@pytest.mark.parametrize(
    ("value", "number", "whole"),
    [
        (3, True, True),
        (3.0, True, False),
        (True, False, False),
        (math.inf, False, False),
        (math.nan, False, False),
        ("3", False, False),
        (None, False, False),
    ],
)
def test_only_finite_numbers_are_numbers_and_only_ints_are_whole(value, number, whole):
    assert (is_number(value), is_whole(value)) == (number, whole)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (math.inf, ".inf"),
        (math.nan, ".nan"),
        ("true", "'true'"),  # a text stays apart from the value it looks like
        ({"a": 1}, "a mapping"),
        ((1, 2), "a list"),
        ("two\nlines", r"'two\nlines'"),
    ],
)
def test_a_value_is_shown_as_yaml_spells_it_on_one_line(value, text):
    assert shown(value) == text


def test_a_long_value_is_cut():
    assert len(shown("x" * 1000)) == 60
    assert shown("x" * 1000).endswith("...")
