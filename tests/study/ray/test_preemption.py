"""A worker whose node leaves is told, and goes once training can be put down."""

import threading
import time

import pytest

from autodepth.study.ray import preemption
from autodepth.study.ray.preemption import NodePreempted, PreemptionNotice, watching_for_notice


def test_a_notice_is_heeded_only_once_it_was_asked_for():
    given = threading.Event()
    notice = PreemptionNotice(given)

    assert not notice()
    given.set()
    assert not notice.heeded
    assert notice()
    given.clear()
    assert notice()  # what was put down is not taken up again


def test_on_a_node_that_leaves_already_nothing_begins(monkeypatch):
    monkeypatch.setattr(preemption, "_leaves", lambda: True)
    with pytest.raises(NodePreempted), watching_for_notice():
        pytest.fail("training began")


def test_ray_is_asked_again_also_after_it_did_not_answer(monkeypatch):
    answers = iter([False, ConnectionError(), False, True])

    def leaves():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(preemption, "_leaves", leaves)
    monkeypatch.setattr(preemption, "_LOOK_SECONDS", 0.001)
    with watching_for_notice() as notice:
        deadline = time.monotonic() + 10
        while not notice() and time.monotonic() < deadline:
            time.sleep(0.001)
        assert notice.heeded
