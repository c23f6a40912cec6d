"""What a network's code is told of the stand-ins that it is recorded with.

A stand-in whose `__class__` were that of a tensor would be believed by PyTorch's C++ too: a
`torch.autograd.Function`, checkpointing or a scripted function would take its memory for a
tensor's, and the process would die. So it is Python's `isinstance` that is answered, and not in
the parts of PyTorch that ask before they hand a tensor to C++.

Both patches hold for the whole process, so one thread at a time may be in here.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import getattr_static
from typing import Any

from torch.autograd import Function


@contextmanager
def classes_told(of: Callable[[Any], type | None]) -> Iterator[None]:
    """Let `isinstance` go by a class that is told, where the value's own says no.

    Args:
        of: gives the class of what a value stands in for; None where it is no stand-in, or where
            that is not known.
    """
    ask = builtins.isinstance

    def patched(value: Any, kinds: Any, /) -> bool:
        if ask(value, kinds):
            return True
        told = of(value)
        asking = sys._getframe(1).f_globals.get("__name__", "")  # noqa: SLF001
        return told is not None and _asks_for_a_network(asking) and issubclass(told, kinds)

    setattr(builtins, "isinstance", patched)  # noqa: B010 - an assignment is an error to mypy
    try:
        yield
    finally:
        setattr(builtins, "isinstance", ask)  # noqa: B010


@contextmanager
def own_gradients_kept(stands_in: Callable[[Any], bool]) -> Iterator[None]:
    """Raise TypeError where a `Function` with a gradient of the network's own gets a stand-in.

    Recorded from the inside it would have the gradient of its parts. PyTorch's own, those of
    checkpointing, have that anyway.

    Args:
        stands_in: whether a value is a stand-in.
    """
    base = Function.__bases__[0]  # a network may have kept `apply = Own.apply`; that asks here
    inherited = getattr_static(base, "apply")

    def refusing(function: type[Function], *args: Any, **kwargs: Any) -> Any:
        if not function.__module__.startswith("torch.") and any(map(stands_in, args)):
            raise TypeError(f"{function.__qualname__} has a gradient of its own")
        return inherited.__get__(None, function)(*args, **kwargs)

    setattr(base, "apply", classmethod(refusing))  # noqa: B010
    try:
        yield
    finally:
        delattr(base, "apply")


def _asks_for_a_network(module: str) -> bool:
    # `torch` itself has `is_tensor`, and `torch.nn` the class of parameters.
    return not module.startswith("torch.") or module.startswith("torch.nn.")
