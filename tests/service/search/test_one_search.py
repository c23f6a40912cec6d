"""One search at a time in a process, and none in a copy of one that searched."""

import os
import threading

import pytest

from autodepth.errors import InputError
from autodepth.service.search import one_search
from autodepth.service.search.one_search import only_search


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    monkeypatch.setattr(one_search, "_searched", [])


def refusal():
    try:
        with only_search():
            return ""
    except InputError as error:
        return str(error)


def test_one_after_the_other_may_search_also_after_an_error():
    with pytest.raises(KeyError), only_search():
        raise KeyError

    assert refusal() == ""


def test_another_thread_is_refused_meanwhile():
    told = []
    with only_search():
        thread = threading.Thread(target=lambda: told.append(refusal()))
        thread.start()
        thread.join()

    assert "another thread searches already" in told[0]
    assert refusal() == ""


def test_a_copy_of_a_process_that_searched_is_refused():
    with only_search():
        pass
    one_search._searched[:] = [os.getpid() + 1]  # as its parent's after a fork

    assert "was forked from one that had searched" in refusal()
