"""The meter charges what is reserved and lets no trial start that has no time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.study.plan.budget import BudgetMeter, Pace
from autodepth.units import parse_budget


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def meter(text, clock, devices=2):
    made = BudgetMeter(parse_budget(text), device="cpu", devices=devices, clock=clock)
    made.start()
    return made


def test_every_reserved_device_is_charged_busy_or_not(clock):
    made = meter("4cpu-min", clock)
    clock.now += 30

    assert made.spent == 60
    assert made.seconds_left == 90
    assert made.share_spent == 0.25


def test_the_first_limit_ends_it(clock):
    made = meter("4cpu-min,100s", clock)
    clock.now += 99

    assert not made.exhausted
    clock.now += 2
    assert made.exhausted


def test_a_trial_starts_only_if_the_shortest_so_far_would_fit(clock):
    made = meter("4cpu-min", clock)
    for seconds in (30, 10, 20):
        made.trial_started()
        made.trial_completed(seconds, 1.0)
    clock.now += 109

    assert made.may_start()
    clock.now += 2
    assert not made.may_start()


def test_a_trial_of_more_work_needs_more_time(clock):
    made = meter("4cpu-min", clock)
    assert made.leaves_time_for(1e9, new_parent=True)  # nobody knows better yet
    for seconds, work in ((10, 1.0), (28, 2.0)):  # 12 seconds per unit at the median
        made.trial_completed(seconds, work, new_parent=True)
    clock.now += 54  # 66 are left: five units with a margin of a tenth

    assert made.expected(3.0, new_parent=True) == 36
    assert made.leaves_time_for(4.9, new_parent=True)
    assert not made.leaves_time_for(5.1, new_parent=True)
    # As long as no trial used a parent that was there, those that trained theirs tell.
    assert not made.leaves_time_for(5.1, new_parent=False)
    made.trial_completed(3, 1.0)
    assert made.leaves_time_for(5.1, new_parent=False)


def test_short_trials_do_not_tell_how_long_a_long_one_takes():
    pace = Pace()
    for work in (0.1, 0.2, 0.1, 0.3, 2.0):
        pace.learn(3 + 10 * work, work)

    assert pace.expected(20.0) == pytest.approx(203)  # 630 at the median pace
    assert pace.at_most(20.0) == pytest.approx(1.1 * 203)


@given(
    fixed=st.floats(0, 10),
    slope=st.floats(0.1, 100),
    work=st.lists(st.floats(0.01, 10), min_size=3, max_size=20, unique=True),
    errors=st.lists(st.floats(0.8, 1.25), min_size=20, max_size=20),
)
def test_the_margin_is_by_how_far_trials_were_off(fixed, slope, work, errors):
    exact, off = Pace(), Pace()
    assert not exact
    for each, error in zip(work, errors, strict=False):
        exact.learn(fixed + slope * each, each)
        off.learn((fixed + slope * each) * error, each)

    assert exact
    assert exact.at_most(1.0) == pytest.approx(1.1 * exact.expected(1.0))
    least, most = off.expected(1e-9), off.expected(20.0)
    assert 0 <= least <= most
    assert off.at_most(5.0) >= 1.1 * off.expected(5.0)


def test_a_trial_that_trains_nothing_tells_no_pace(clock):
    """A control of given weights: seconds of loading and measuring, and next to no work."""
    made = meter("60cpu-s", clock)
    made.trial_completed(7, None)
    assert made.leaves_time_for(100.0, new_parent=False)
    assert made.shortest(new_parent=False) == 7
    made.trial_completed(10, 1.0)
    assert made.leaves_time_for(2.0, new_parent=False)
    assert not made.leaves_time_for(100.0, new_parent=False)


def test_what_was_cut_off_tells_the_pace_too(clock):
    made = meter("4cpu-min", clock)
    made.trial_completed(1.0, 1.0)
    assert made.leaves_time_for(60.0, new_parent=False)
    made.trial_cut_off(30.0, 10.0, new_parent=False)

    assert not made.leaves_time_for(60.0, new_parent=False)
    assert made.shortest(new_parent=False) == 1.0  # one that came to an end


def test_a_count_limits_what_is_started(clock):
    made = meter("2trials", clock)
    made.trial_started()
    assert made.may_start()
    made.trial_started()

    assert not made.may_start()
    assert not made.exhausted
    assert made.seconds_left == float("inf")


def test_nothing_is_charged_before_and_after(clock):
    made = BudgetMeter(parse_budget("1min"), device="cpu", devices=1, clock=clock)
    clock.now += 50
    assert made.spent == 0
    made.start()
    clock.now += 5
    made.stop()
    clock.now += 50

    assert made.spent == 5


def test_only_the_first_start_and_the_first_stop_count():
    now = [0.0]
    meter = BudgetMeter(parse_budget("1cpu-h"), device="cpu", devices=2.0, clock=lambda: now[0])
    meter.start()
    now[0] = 5.0
    meter.start()
    now[0] = 10.0
    meter.stop()
    now[0] = 25.0
    meter.stop()

    assert meter.spent == 20.0
