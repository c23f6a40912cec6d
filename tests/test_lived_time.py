"""Time in which a process was stopped is no time it lived."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import pytest

from autodepth import lived_time
from autodepth.lived_time import LOOK_SECONDS, LivedTime, is_stopped, lived_seconds


class Machine:
    """A machine whose clock goes on while the process on it is stopped."""

    def __init__(self):
        self.now = self.computed = 100.0
        self.time = LivedTime(lambda: self.now, lambda: self.computed)
        self.begun = self.time.seconds()

    def lives(self, seconds, *, computing=0.0):
        """Let so much time pass, looked at as often as it should be."""
        for _ in range(round(seconds / LOOK_SECONDS)):
            self.passes(LOOK_SECONDS, computing=computing)
            self.time.seconds()

    def passes(self, seconds, *, computing=0.0):
        self.now += seconds
        self.computed += computing * seconds

    @property
    def lived(self):
        return self.time.seconds() - self.begun


@pytest.fixture
def machine():
    return Machine()


def test_time_that_is_looked_at_is_lived_whether_anything_is_computed_or_not(machine):
    machine.lives(30)
    machine.lives(30, computing=8.0)
    assert machine.lived == 60


@pytest.mark.parametrize("stop", [3.0, 60.0, 86400.0])
def test_time_that_nobody_looked_at_is_not_lived_but_for_the_look_that_was_due(machine, stop):
    machine.lives(10)
    machine.passes(stop)
    assert machine.lived == 10 + LOOK_SECONDS
    machine.lives(10)
    assert machine.lived == 20 + LOOK_SECONDS


def test_many_stops_add_up(machine):
    for _ in range(20):
        machine.lives(1)
        machine.passes(100)
    assert machine.lived == 20 + LOOK_SECONDS  # the look that was due comes after each stop


def test_a_process_that_computes_and_lets_nobody_look_lives(machine):
    machine.passes(60, computing=1.0)
    assert machine.lived == 60


def test_one_that_computed_on_many_threads_when_it_was_stopped_did_not_live_on(machine):
    machine.passes(0.4, computing=16.0)
    machine.passes(3600)
    assert machine.lived == LOOK_SECONDS


def test_a_busy_machine_may_be_late_to_look(machine):
    for _ in range(10):
        machine.passes(1.9)
        machine.time.seconds()
    assert machine.lived == pytest.approx(19)


def test_it_never_goes_back(machine):
    told = []
    for passes in (0.1, 5.0, 0.0, 1.0, 300.0, 0.2):
        machine.passes(passes)
        told.append(machine.lived)
    assert told == sorted(told)


def send_lived(end):
    end.send(lived_seconds() - lived_seconds())
    end.send([thread.name for thread in threading.enumerate()])


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_has_a_clock_of_its_own():
    lived_seconds()
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=send_lived, args=(theirs,))
    child.start()
    assert abs(ours.recv()) < LOOK_SECONDS
    assert "lived-time" in ours.recv()
    child.join()
    assert lived_time._watched


def test_a_stopped_process_is_told_from_one_that_runs():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert not is_stopped(child.pid)
        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        assert is_stopped(child.pid)
        child.send_signal(signal.SIGCONT)
        os.waitid(os.P_PID, child.pid, os.WCONTINUED | os.WNOWAIT)
        assert not is_stopped(child.pid)
        child.communicate(b"\n")
    assert not is_stopped(child.pid)
