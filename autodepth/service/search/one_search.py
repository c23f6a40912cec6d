"""One search at a time in a process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from autodepth.errors import InputError

_turn = threading.Lock()
_searched: list[int] = []  # processes: this one if it searched, and those it was forked from


@contextmanager
def only_search() -> Iterator[None]:
    """Refuse to begin while another thread of this process searches; also around a function.

    Ray, PyTorch's threads and its random numbers are there once for a process: of two searches each
    would draw the other's numbers.

    Raises:
        InputError: another one goes on, or this is a copy of a process that searched.
    """
    if set(_searched) - {os.getpid()}:
        raise InputError(
            "a process that was forked from one that had searched cannot search, for it would wait "
            "for threads of PyTorch that stayed behind: start it by another method, "
            "multiprocessing.get_context('spawn') or 'forkserver'"
        )
    if not _turn.acquire(blocking=False):
        raise InputError(
            "one search at a time may run in a process (Ray, PyTorch's threads and its random "
            "numbers are there once), but another thread searches already: wait for it, or start "
            "this one in a process of its own, as `autodepth search` does"
        )
    _searched[:] = [os.getpid()]
    try:
        yield
    finally:
        _turn.release()
