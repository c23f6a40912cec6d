"""What is asked of a study that runs."""

import pytest

from autodepth.errors import InputError, StudyError
from autodepth.records.driver_lock.asking import ask_for_concurrency, ask_to_end
from autodepth.records.driver_lock.lock import DriverLock, read_requests

TRIALS = ((0.9, 40_000_000, 40.0),)


def test_a_driver_is_asked_and_nobody_else(make_recorded):
    folder = make_recorded("digits", TRIALS)
    assert ask_to_end(folder) is None
    assert not read_requests(folder).stop
    with pytest.raises(StudyError, match="no process drives digits"):
        ask_for_concurrency(folder, 1)
    with DriverLock(folder):
        assert ask_to_end(folder) is not None
        ask_for_concurrency(folder, 2)
        asked = read_requests(folder)
    assert (asked.stop, asked.concurrency) == (True, 2)


@pytest.mark.parametrize(("count", "message"), [(0, "at least 1"), (3, "at most 2, the places")])
def test_a_number_of_trials_is_in_its_range(make_recorded, count, message):
    with pytest.raises(InputError, match=message):
        ask_for_concurrency(make_recorded("digits", TRIALS), count)
