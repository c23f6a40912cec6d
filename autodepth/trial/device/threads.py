"""How many CPU threads pay at this moment.

Threads wait for each other at the end of every operator. Where another process holds a CPU of one
of them, all wait for it, and a step of a small network takes twenty times as long as on one thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F

_PAYS = 1.2  # times as fast
_REPEATS, _ROUNDS = 5, 2


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
    before, seconds = torch.get_num_threads(), {few: 0.0, many: 0.0}
    for threads in (few, many) * _ROUNDS:
        torch.set_num_threads(threads)
        F.conv2d(images, weights)
        start = time.perf_counter()
        for _ in range(_REPEATS):
            F.conv2d(images, weights)
        seconds[threads] += time.perf_counter() - start
    torch.set_num_threads(before)
    return many if seconds[few] > _PAYS * seconds[many] else few


@contextmanager
def only_threads_that_pay() -> Iterator[None]:
    """Compute on one thread where more are not clearly faster now; as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads_that_pay(1, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)
