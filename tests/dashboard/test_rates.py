"""Rates: so many at once, so many a second, and nothing kept of who is quiet."""

from autodepth.dashboard.rates import Rates


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_a_burst_is_allowed_and_then_a_rate():
    clock = Clock()
    rates = Rates(a_second=2.0, at_once=5, clock=clock)
    assert [rates.allows("a") for _ in range(7)] == [True] * 5 + [False] * 2
    assert rates.allows("b")
    clock.now = 1.0
    assert [rates.allows("a") for _ in range(3)] == [True, True, False]
    clock.now = 1000.0
    assert [rates.allows("a") for _ in range(6)] == [True] * 5 + [False]


def test_those_who_are_quiet_are_forgotten():
    clock = Clock()
    rates = Rates(a_second=1.0, at_once=2, clock=clock)
    for number in range(30_000):
        clock.now = number / 1000
        rates.allows(str(number))
    assert len(rates._known) <= 10_001
