"""Survival probabilities follow their formulas and keep their bounds."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.errors import InputError
from autodepth.policy.survival import DECAY_SHAPES, expected_branches, survival_probabilities

p_last = st.floats(1e-6, 1.0)
counts = st.integers(1, 300)


@given(p_last, counts, st.sampled_from(DECAY_SHAPES), st.floats(0.05, 10))
def test_probabilities_stay_in_bounds_and_never_rise_with_depth(p, count, shape, power):
    survival = survival_probabilities(p, count, shape, power=power)

    assert len(survival) == count
    assert all(p <= value <= 1.0 for value in survival)
    assert all(a >= b for a, b in itertools.pairwise(survival))
    assert survival[-1] == pytest.approx(p)


@given(counts, st.sampled_from(DECAY_SHAPES))
def test_one_means_no_random_depth(count, shape):
    assert survival_probabilities(1.0, count, shape) == (1.0,) * count


@given(p_last, counts)
def test_the_linear_rule_is_that_of_the_paper(p, count):
    expected = [1 - (branch / count) * (1 - p) for branch in range(1, count + 1)]

    assert survival_probabilities(p, count, "linear") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("count", "p", "branches"),
    [(54, 0.5, 40.25), (27, 0.8, 24.2), (16, 0.2, 9.2), (50, 0.5, 37.25)],
)
def test_the_linear_rule_computes_as_many_branches_as_published(count, p, branches):
    survival = survival_probabilities(p, count)

    assert expected_branches(survival) == pytest.approx(branches)
    assert expected_branches(survival) == pytest.approx(count - (1 - p) * (count + 1) / 2)


def test_shapes_at_half_depth():
    halves = {s: survival_probabilities(0.5, 2, s, power=2)[0] for s in DECAY_SHAPES}

    assert halves == pytest.approx({"linear": 0.75, "uniform": 0.5, "power": 0.875, "cosine": 0.75})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.2, 3), r"survival_prob_last must be in \(0, 1\], but got 1.2"),
        ((0.0, 3), "but got 0.0"),
        ((float("nan"), 3), "but got nan"),
        ((0.5, 0), "num_branches must be at least 1, but got 0"),
        ((0.5, 3, "liner"), "did you mean 'linear'"),
    ],
)
def test_arguments_outside_their_range_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        survival_probabilities(*arguments)


def test_a_power_must_be_above_zero():
    with pytest.raises(InputError, match="decay_power must be above 0, but got 0"):
        survival_probabilities(0.5, 3, "power", power=0)
