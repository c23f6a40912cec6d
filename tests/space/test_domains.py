"""Domains hold what they say."""

import random

import pytest

from autodepth.errors import InputError
from autodepth.space.domains import (
    Choice,
    Fixed,
    FloatRange,
    IntRange,
    nearest_value,
    random_value,
)


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        (Fixed(0.5), [0.5], [0.4, None, "0.5"]),
        (FloatRange(0.0, 1.0), [0, 0.0, 0.3, 1], [-0.1, 1.1, None, "0.5", True, float("nan")]),
        (FloatRange(0.5, 1.0, step=0.1), [0.5, 0.5 + 4 * 0.1, 0.9, 1.0], [0.55, 0.4, 1.1]),
        (FloatRange(1e-3, 1.0, log=True), [1e-3, 0.5], [0, 1e-4]),
        (IntRange(0, 8), [0, 3, 8], [9, -1, 3.0, None, True]),
        (IntRange(1, 9, step=4), [1, 5, 9], [2, 4, 8]),
        (Choice(("linear", None, 3)), ["linear", None, 3], ["cosine", 4]),
    ],
    ids=str,
)
def test_a_domain_contains_its_values_and_no_others(domain, inside, outside):
    assert [value for value in inside if not domain.contains(value)] == []
    assert [value for value in outside if domain.contains(value)] == []


@pytest.mark.parametrize(
    ("domain", "written"),
    [
        (FloatRange(0.2, 1.0, step=0.1), [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        (FloatRange(0.7, 1.0, step=0.1), [0.7, 0.8, 0.9, 1.0]),
        (FloatRange(0.05, 0.2, step=0.05), [0.05, 0.1, 0.15, 0.2]),
        (FloatRange(1e-05, 4e-05, step=1e-05), [1e-05, 2e-05, 3e-05, 4e-05]),
        (IntRange(1, 9, step=4), [1, 5, 9]),
    ],
    ids=str,
)
def test_values_on_a_grid_are_those_that_people_write(domain, written):
    computed = [domain.low + k * domain.step for k in range(len(written))]
    drawn = {random_value(domain, random.Random(seed)) for seed in range(200)}

    assert [domain.snap(value) for value in computed] == written
    assert drawn == set(written)


@pytest.mark.parametrize(
    ("domain", "nearest"),
    [
        (FloatRange(0.3, 0.9, step=0.2), {0.8: 0.7, 0.85: 0.9, 5.0: 0.9, 0.0: 0.3}),
        (IntRange(1, 9, step=4), {1e9: 9, 4: 5}),
        (Choice((0.5, 0.75, 1.0)), {0.8: 0.75, 2: 1.0}),
        (Choice(("linear", "cosine")), {"linear": "linear"}),
        (Choice((None, 3)), {8: 8}),
    ],
    ids=str,
)
def test_the_nearest_value_is_one_that_the_domain_has(domain, nearest):
    assert {value: nearest_value(domain, value) for value in nearest} == nearest


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FloatRange(1.0, 0.5), "min must be below max"),
        (lambda: FloatRange(0.0, float("inf")), "min and max must be finite"),
        (lambda: FloatRange(0.0, 1.0, log=True), "min must be above 0 when log is true"),
        (lambda: FloatRange(0.1, 1.0, log=True, step=0.1), "step and log cannot go together"),
        (lambda: FloatRange(0.0, 1.0, step=0.3), "max must be min plus a multiple of step"),
        (lambda: IntRange(0, 4, step=0), "step must be above 0, but got 0"),
        (lambda: Choice(()), "values must hold at least one value"),
        (lambda: Choice((1, 1)), "values must differ"),
    ],
)
def test_impossible_domains_cannot_be_made(make, message):
    with pytest.raises(InputError, match=message):
        make()
