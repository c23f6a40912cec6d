"""A figure of a front shows the front, and says what lies beyond."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.report.figures.frame import WIDE, is_wide, reach

COSTS = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8)


def test_one_outlier_does_not_decide_what_is_seen():
    shown = reach([90.0, 95.0], [10.0, 89.0, 90.0, 95.0])

    assert 87.0 < shown.low < 88.0  # and not 10
    assert 95.0 < shown.high < 96.0
    assert shown.held(10.0) == shown.low
    assert shown.held(89.0) == 89.0


@pytest.mark.parametrize(("costs", "wide"), [([1, 20], False), ([1, 21], True), ([0, 1], False)])
def test_costs_that_span_more_than_a_factor_want_a_logarithmic_axis(costs, wide):
    assert WIDE == 20
    assert is_wide(costs) == wide


@given(COSTS, COSTS, st.booleans())
def test_all_that_matters_is_inside_with_room_around_it(matter, others, log):
    shown = reach(matter, [*matter, *others], log=log)

    assert shown.low < min(matter)
    assert shown.high > max(matter)
    assert {shown.held(value) for value in matter} == set(matter)
    if log:
        assert shown.exponents == pytest.approx([math.log10(shown.low), math.log10(shown.high)])


def test_a_cost_of_nothing_has_no_place_on_a_logarithmic_axis():
    assert reach([1.0, 100.0], [0.0, 1.0, 100.0], log=True).low == pytest.approx(10**-0.12)
