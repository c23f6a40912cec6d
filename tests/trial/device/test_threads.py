"""Threads are added where they are faster at this moment, and nowhere else."""

import pytest
import torch

from autodepth.trial.device import threads


@pytest.fixture
def paced(monkeypatch):
    """Return what makes a convolution take seconds by the number of threads."""

    def pace(seconds):
        now = [0.0]

        def convolve(*_):
            now[0] += seconds[torch.get_num_threads()]

        monkeypatch.setattr(threads.F, "conv2d", convolve)
        monkeypatch.setattr(threads.time, "perf_counter", lambda: now[0])

    return pace


@pytest.mark.parametrize(
    ("alone", "together", "chosen"),
    [(1.0, 0.55, 2), (1.0, 0.8, 2), (1.0, 0.9, 1), (1.0, 1.0, 1), (1.0, 20.0, 1)],
)
def test_more_threads_are_taken_where_they_are_clearly_faster(paced, alone, together, chosen):
    paced({1: alone, 2: together})
    before = torch.get_num_threads()

    assert threads.threads_that_pay(1, 2) == chosen
    assert torch.get_num_threads() == before


def test_nothing_is_measured_where_there_is_no_choice(paced):
    paced({})

    assert threads.threads_that_pay(2, 2) == 2


@pytest.fixture
def machine(monkeypatch):
    """Return what makes a call that takes seconds, and computes for some, by its threads."""

    def make(costs):
        clocks, calls = {"perf_counter": 0.0, "process_time": 0.0}, []

        def call():
            calls.append(torch.get_num_threads())
            seconds, computed = costs[calls[-1]]
            clocks["perf_counter"] += seconds
            clocks["process_time"] += computed

        monkeypatch.setattr(threads.time, "perf_counter", lambda: clocks["perf_counter"])
        monkeypatch.setattr(threads.time, "process_time", lambda: clocks["process_time"])
        call.calls = calls
        return call

    return make


@pytest.fixture
def on_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("count", "costs", "found"),
    [
        (1, {1: (1.0, 1.0)}, 1.0),
        (1, {1: (10.0, 1.0)}, 1.0),  # ten processes share its CPU
        (2, {1: (1.0, 1.0), 2: (0.6, 1.2)}, 0.6),
        (2, {1: (2.0, 1.0), 2: (58.0, 9.0)}, 1.0),  # at most twice of what two free CPUs take
        (2, {1: (1.0, 1.0), 2: (0.8, 0.9)}, 0.8),
        (2, {1: (1.0, 1.0), 2: (1.5, 3.0)}, 1.0),
        (4, {1: (1.0, 1.0), 2: (0.55, 1.1), 4: (9.0, 20.0)}, 0.55),
        (4, {1: (1.0, 1.0), 2: (0.55, 1.1), 4: (0.3, 1.2)}, 0.3),
    ],
)
def test_a_busy_machine_is_told_from_a_slow_one(machine, on_threads, count, costs, found):
    on_threads(count)

    assert threads.undisturbed_seconds(machine(costs)) == pytest.approx(found)
    assert torch.get_num_threads() == count


def test_threads_that_wait_for_others_are_not_waited_for_again_and_again(machine, on_threads):
    on_threads(2)
    call = machine({1: (2.0, 1.0), 2: (58.0, 9.0)})

    threads.undisturbed_seconds(call)
    assert call.calls.count(2) == 1


def test_threads_are_given_back_whatever_happens():
    before = torch.get_num_threads()
    with pytest.raises(AssertionError), threads.on_threads(before + 1):
        assert torch.get_num_threads() == before  # they are more, and this fails
    assert torch.get_num_threads() == before
