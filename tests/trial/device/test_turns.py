"""Calls are timed by turns, on any clock."""

from autodepth.trial.device.turns import times_by_turns


class Machine:
    """A made clock that calls set forward; all of them slow down together."""

    def __init__(self):
        self.now, self.slow, self.calls = 0.0, 1.0, 0

    def call(self, seconds):
        def run():
            self.calls += 1
            self.slow = 3.0 if self.calls % 40 > 20 else 1.0
            self.now += seconds * self.slow

        return run


def test_what_slows_all_down_for_a_while_changes_no_ratio():
    machine = Machine()
    two, six = times_by_turns([machine.call(0.002), machine.call(0.006)], lambda: machine.now)

    assert 2.0 <= two.ms <= 6.0
    assert abs(six.ms / two.ms - 3) < 1.0
    assert two.calls == six.calls >= 9
    assert two.joules is None


def test_a_steady_machine_is_told_to_the_digit():
    machine = Machine()
    machine.call = lambda seconds: lambda: setattr(machine, "now", machine.now + seconds)
    found = times_by_turns(
        [machine.call(0.004), machine.call(0.0001)],
        lambda: machine.now,
        seconds=1.0,
        joules=lambda: 7.0 * machine.now,
    )

    assert [round(each.ms, 9) for each in found] == [4.0, 0.1]
    assert all(each.iqr_ms < 1e-9 for each in found)
    assert round(found[0].joules, 9) == 0.028
    assert round(found[1].joules, 9) == 0.0007


def test_calls_warm_up_before_they_count():
    counted = []

    def clock():
        counted.append(runs[0])
        return float(len(counted))

    runs = [0]

    def run():
        runs[0] += 1

    times_by_turns([run], clock, warm_up=5)

    assert counted[0] == 0
    assert counted[1] == 5
