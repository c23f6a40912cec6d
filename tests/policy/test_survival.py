"""Survival probabilities follow their formulas and keep their bounds."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.errors import InputError
from autodepth.policy.survival import (
    DECAY_SHAPES,
    by_sensitivity,
    expected_branches,
    expected_cost,
    survival_probabilities,
)

p_last = st.floats(1e-6, 1.0)
counts = st.integers(1, 300)


@given(p_last, counts, st.sampled_from(DECAY_SHAPES), st.floats(0.05, 10))
def test_probabilities_stay_in_bounds_and_never_rise_with_depth(p, count, shape, power):
    stages = sorted(1 + branch % 3 for branch in range(count))
    survival = survival_probabilities(p, count, shape, power=power, stages=stages)

    assert len(survival) == count
    assert all(p <= value <= 1.0 for value in survival)
    assert all(a >= b for a, b in itertools.pairwise(survival))
    assert survival[-1] == pytest.approx(p)


@given(counts, st.sampled_from(DECAY_SHAPES))
def test_one_means_no_random_depth(count, shape):
    assert survival_probabilities(1.0, count, shape, stages=range(1, count + 1)) == (1.0,) * count


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
    halves = {
        shape: survival_probabilities(0.5, 2, shape, power=2, stages=[1, 2])[0]
        for shape in DECAY_SHAPES
    }

    assert halves == pytest.approx(
        {
            "linear": 0.75,
            "uniform": 0.5,
            "power": 0.875,
            "cosine": 0.75,
            "step": 0.75,
            "sensitivity": 0.75,
        }
    )


def test_a_step_is_level_within_a_stage():
    survival = survival_probabilities(0.4, 6, "step", stages=[1, 1, 2, 2, 2, 3])

    assert survival == pytest.approx((0.8, 0.8, 0.6, 0.6, 0.6, 0.4))


@pytest.mark.parametrize("stages", [None, [1, 1]])
def test_a_step_needs_the_stage_of_each_branch(stages):
    with pytest.raises(InputError, match="needs the stage of each of 3 branches"):
        survival_probabilities(0.5, 3, "step", stages=stages)


branches = st.lists(st.tuples(st.floats(-1, 1), st.integers(1, 10**9)), min_size=1, max_size=60)


@given(st.floats(0.05, 1.0), branches)
def test_weak_branches_are_dropped_more_at_equal_expected_cost(p, measured):
    sensitivities, macs = zip(*measured, strict=True)
    rule = survival_probabilities(p, len(measured))

    survival = by_sensitivity(rule, sensitivities, macs)

    assert all(p <= chance <= 1 for chance in survival)
    assert expected_cost(survival, macs) == pytest.approx(expected_cost(rule, macs), rel=1e-6)
    ranked = sorted(range(len(measured)), key=lambda i: -sensitivities[i])
    for stronger, weaker in itertools.pairwise(ranked):
        if sensitivities[stronger] > sensitivities[weaker]:
            assert survival[stronger] >= survival[weaker]


def test_branches_of_equal_cost_share_out_the_rules_own_numbers():
    assert by_sensitivity((0.9, 0.7, 0.5), (0.1, 0.3, 0.2), (5, 5, 5)) == pytest.approx(
        (0.5, 0.9, 0.7)
    )


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
