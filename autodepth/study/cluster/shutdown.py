"""Shuts Ray down without risk to the process that used it."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import ray


def shut_down_ray() -> None:
    """Disconnect this process from Ray, and end a Ray that it started.

    While `ray.shutdown` runs, Ray's core ends the whole process, with status 1, as soon as a
    reference to one of its objects is dropped (Ray 2.60, `CoreWorkerProcess::EnsureInitialized`).
    Ray Tune leaves such references in cycles, and Python's collector drops these from whatever
    thread it happens to run in, so they are collected before, and nothing is meanwhile.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        with _ctrl_c_waits():
            gc.collect()
        ray.shutdown()
    finally:
        if collecting:
            gc.enable()


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Keep Ctrl-C until the end: raised in a callback of the collector it is printed and lost."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
    if pressed:
        signal.raise_signal(signal.SIGINT)
