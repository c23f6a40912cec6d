"""One search at a time in a process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from autodepth.errors import InputError

_turn = threading.Lock()


def _forget_in_child() -> None:
    """Let a child that was forked while a search ran have one of its own."""
    global _turn  # noqa: PLW0603
    _turn = threading.Lock()


os.register_at_fork(after_in_child=_forget_in_child)


@contextmanager
def only_search() -> Iterator[None]:
    """Refuse to begin while another thread of this process searches; also around a function.

    Ray, PyTorch's threads and its random numbers are there once for a process: of two searches each
    would draw the other's numbers.

    Raises:
        InputError: another one goes on.
    """
    turn = _turn
    if not turn.acquire(blocking=False):
        raise InputError(
            "one search at a time may run in a process (Ray, PyTorch's threads and its random "
            "numbers are there once), but another thread searches already: wait for it, or start "
            "this one in a process of its own, as `autodepth search` does"
        )
    try:
        yield
    finally:
        turn.release()
