"""The meter charges what is reserved and lets no trial start that has no time."""

import pytest

from autodepth.study.plan.budget import BudgetMeter
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


def test_a_trial_starts_only_if_one_as_long_as_usual_fits(clock):
    made = meter("4cpu-min", clock)
    for seconds in (10, 20, 30):
        made.trial_started()
        made.trial_completed(seconds, 1.0)
    clock.now += 99

    assert made.may_start()
    clock.now += 2
    assert not made.may_start()


def test_a_trial_of_more_work_needs_more_time(clock):
    made = meter("4cpu-min", clock)
    assert made.leaves_time_for(1e9, new_parent=True)  # nobody knows better yet
    for seconds, work in ((10, 1.0), (40, 2.0), (24, 2.0)):  # 12 seconds per unit
        made.trial_completed(seconds, work, new_parent=True)
    clock.now += 54  # 66 are left: five units with a margin of a tenth

    assert made.expected(3.0, new_parent=True) == 36
    assert made.leaves_time_for(4.9, new_parent=True)
    assert not made.leaves_time_for(5.1, new_parent=True)
    # As long as no trial used a parent that was there, those that trained theirs tell.
    assert not made.leaves_time_for(5.1, new_parent=False)
    made.trial_completed(3, 1.0)
    assert made.leaves_time_for(5.1, new_parent=False)


def test_a_trial_that_trains_nothing_tells_no_pace(clock):
    """A control of given weights: seconds of loading and measuring, and next to no work."""
    made = meter("60cpu-s", clock)
    made.trial_completed(7, None)
    assert made.leaves_time_for(100.0, new_parent=False)
    assert made.usual(new_parent=False) == 7
    made.trial_completed(10, 1.0)
    assert made.leaves_time_for(2.0, new_parent=False)
    assert not made.leaves_time_for(100.0, new_parent=False)


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
