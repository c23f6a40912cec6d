"""When Python looks for garbage: not while much is made that stays, and not at the very end."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """Look for no garbage meanwhile: an import makes a million objects, and all of them stay.

    What nobody refers to any more goes all the same, unless it refers to itself.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def end_as_it_is() -> None:
    """Let this process end without a look at what it holds: at torch, two seconds of the CPU.

    For commands that have nothing left to do then: what refers to itself is not closed in order.
    """
    atexit.register(gc.freeze)
