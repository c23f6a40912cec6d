"""A driver killed at random moments, again and again; the long loop is `make faults`."""

import pytest
from crash_loop import crash_loop

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("with_a_store")]


@pytest.mark.long  # the driver is killed by test_supervisor and test_fault_points in every run
def test_nothing_is_lost_or_done_twice_however_often_the_driver_dies():
    tally = crash_loop(6, seed=1, trials=5)

    assert tally.kills == 6
    assert tally.breaches == []
    assert (tally.lost, tally.twice, tally.zombies) == (0, 0, 0)
    assert tally.complete == tally.trials
    assert tally.same_front
