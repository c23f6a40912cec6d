"""Long work is told to whoever listens, and to nobody else."""

import threading

import pytest

from autodepth.long_work import each, long_work


def test_work_is_told_with_its_steps(heard):
    with long_work("outer"):
        assert list(each("abc", "inner", 3)) == ["a", "b", "c"]

    assert heard == {"outer": [None, 0], "inner": [3, 3]}


def test_work_that_breaks_off_is_told_as_far_as_it_came(heard):
    with pytest.raises(ZeroDivisionError):
        [1 / (2 - number) for number in each(range(5), "dividing", 5)]

    assert heard == {"dividing": [5, 2]}


def test_other_threads_and_unheard_work_just_go_on(heard):
    found = []
    thread = threading.Thread(target=lambda: found.extend(each("ab", "elsewhere", 2)))
    thread.start()
    thread.join()

    assert (found, heard) == (["a", "b"], {})
