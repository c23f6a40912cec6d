"""A worker that somebody stopped costs nothing while it stands still, and its trial no time."""

import socket

import pytest

from autodepth.study.plan.budget import BudgetMeter
from autodepth.study.ray import stopped_workers
from autodepth.study.ray.stopped_workers import StoppedWorkers
from autodepth.units import parse_budget

HERE = {"hostname": socket.gethostname()}


@pytest.fixture
def stopped(monkeypatch):
    """The processes that are stopped."""
    pids = set()
    monkeypatch.setattr(stopped_workers, "is_stopped", pids.__contains__)
    return pids


@pytest.fixture
def workers(stopped):
    """What looks, what it told, and its clock."""
    told, now = [], [0.0]
    looking = StoppedWorkers(lambda *still: told.append(still), lambda: now[0])
    return looking, told, now


def test_those_that_are_stopped_are_told_of_with_the_time_that_passed(workers, stopped):
    looking, told, now = workers
    for number, pid in enumerate((501, 502, 503)):
        looking.told(number, {**HERE, "pid": pid})
    looking.told(3, {"hostname": "elsewhere", "pid": 501})  # another process of that number
    stopped.update({501, 503})
    for now[0] in (0.2, 0.4, 0.6, 0.8, 1.2):
        looking.look()
    looking.over(0)
    stopped.discard(503)
    now[0] = 2.0
    looking.look()

    assert [numbers for numbers, _ in told] == [[0, 2], [0, 2]]
    assert sum(seconds for _, seconds in told) == pytest.approx(1.2)


def test_the_share_of_the_devices_that_stood_still_is_not_charged():
    now = [100.0]
    meter = BudgetMeter(parse_budget("4cpu-min"), device="cpu", devices=2.0, clock=lambda: now[0])
    meter.start()
    now[0] += 30
    meter.stood_still(30 / 2)  # one of two workers, all the time
    assert meter.spent == 30
    assert meter.seconds_left == 105
    meter.stop()
    assert meter.spent == 30
