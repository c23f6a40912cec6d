"""p_L over time follows each formula and keeps its bounds."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.errors import InputError
from autodepth.policy.depth_schedule import DEPTH_SCHEDULES, survival_at
from autodepth.policy.survival import survival_probabilities

p_last = st.floats(0.01, 1.0)
progress = st.floats(0.0, 1.0)
cutoff = st.floats(0.01, 1.0)


@given(p_last, progress, st.sampled_from(DEPTH_SCHEDULES), cutoff)
def test_probabilities_stay_in_bounds_and_never_rise_with_depth(p, done, schedule, end):
    rule = survival_probabilities(p, 7)
    survival = survival_at(rule, done, schedule, end)

    assert all(lowest <= now <= 1 for lowest, now in zip(rule, survival, strict=True))
    assert all(a >= b for a, b in itertools.pairwise(survival))


@given(p_last, progress, st.sampled_from(DEPTH_SCHEDULES), cutoff)
def test_at_any_moment_the_rule_is_the_linear_one_of_another_last_probability(
    p, done, schedule, end
):
    survival = survival_at(survival_probabilities(p, 9), done, schedule, end)

    assert survival == pytest.approx(survival_probabilities(survival[-1], 9))


@given(p_last, progress, progress, cutoff)
def test_each_schedule_moves_one_way(p, one, other, end):
    early, late = sorted((one, other))
    for schedule in ("constant", "ramp", "late_on", "progressive"):
        first, then = (survival_at([p], at, schedule, end) for at in (early, late))
        assert first >= then
    first, then = (survival_at([p], at, "early_off", end) for at in (early, late))
    assert first <= then


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        ("constant", (0.5, 0.5, 0.5)),
        ("ramp", (1.0, 0.75, 0.5)),
        ("early_off", (0.5, 0.75, 1.0)),
        ("late_on", (1.0, 1.0, 0.5)),
        ("progressive", (1.0, 0.5 + 0.5 * math.exp(-2.5), 0.5 + 0.5 * math.exp(-5))),
    ],
)
def test_values_at_three_moments(schedule, values):
    at = [survival_at([0.5], done, schedule, 0.4)[0] for done in (0.0, 0.2, 0.4)]

    assert at == pytest.approx(values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5], 1.5, "ramp", 0.5), r"progress must be in \[0, 1\], but got 1.5"),
        (([0.5], 0.5, "ramps", 0.5), "did you mean 'ramp'"),
        (([0.5], 0.5, "ramp", 0.0), r"depth_schedule_cutoff must be in \(0, 1\], but got 0.0"),
    ],
)
def test_arguments_outside_their_range_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        survival_at(*arguments)
