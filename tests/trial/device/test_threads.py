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
