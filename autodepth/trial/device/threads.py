"""How many CPU threads pay at this moment, and what a call takes where nobody disturbs it.

Threads wait for each other at the end of every operator. Where another process holds a CPU of one
of them, all wait for it, and a step of a small network takes twenty times as long as on one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F

_PAYS = 1.2  # times as fast
_REPEATS, _ROUNDS = 5, 2
_CALLS = 3  # the fastest of so many counts
# Of their time threads that nobody disturbs compute: OpenMP lets them wait for each other awake.
_UNDISTURBED = 0.9
_HOPELESS = 4  # times what one thread computes, in a first call; it may take half a minute


@torch.no_grad()
def threads_that_pay(few: int, many: int) -> int:
    """Return `many` where so many threads are clearly faster now, else `few`.

    Convolutions of about a millisecond tell within some hundredths of a second.

    Args:
        few: threads that are there in any case, at least 1.
        many: threads that may be used, at least as many.
    """
    if many <= few:
        return few
    images, weights = torch.ones(8, 32, 16, 16), torch.ones(32, 32, 3, 3)
    seconds = {few: 0.0, many: 0.0}
    for count in (few, many) * _ROUNDS:
        with on_threads(count):
            F.conv2d(images, weights)
            start = time.perf_counter()
            for _ in range(_REPEATS):
                F.conv2d(images, weights)
            seconds[count] += time.perf_counter() - start
    return many if seconds[few] > _PAYS * seconds[many] else few


@contextmanager
def only_threads_that_pay() -> Iterator[None]:
    """Compute on one thread where more are not clearly faster now; as before afterwards."""
    with on_threads(threads_that_pay(1, torch.get_num_threads())):
        yield


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Compute on so many CPU threads; on as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def undisturbed_seconds(call: Callable[[], object]) -> float:
    """Return about what a call takes on the threads of now where no other process disturbs it.

    On one thread that is what it computes, however long others hold its CPU. Several threads have
    no such measure, for they compute while they wait for each other. Two of them took 23 s beside
    other work for a step of ResNet-20 that computes for 0.07 s on one, and 3.6 s of them computed.
    So one thread tells the most that several may take, and several are believed where they are
    faster. As long as they were disturbed, half of them are timed too. That is at most as many
    times too long as there are threads: twice for two.

    Args:
        call: computes on the CPU, for some milliseconds or more; called four times or more.
    """
    threads = torch.get_num_threads()
    with on_threads(1):
        call()
        least = min(_timed(call)[1] for _ in range(_CALLS))
    while threads > 1:
        with on_threads(threads):
            times = [_timed(call)]
            if times[0][0] < _HOPELESS * least:
                times += [_timed(call) for _ in range(_CALLS)]
        seconds, computed = min(times)
        least = min(least, seconds)
        if computed > _UNDISTURBED * threads * seconds:
            break
        threads //= 2
    return least


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of a call, and the seconds that this process computed meanwhile."""
    start, before = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - before
