"""Long work says what it does and how far it is; whoever shows that to a person listens.

Nothing is handed down for it: inside `shown_by`, and in this thread, all long work is told. Where
nobody listens, as in a worker or a script of one's own, telling costs a call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Advance: TypeAlias = Callable[[int], object]
"""Told how many more steps are done."""
Show: TypeAlias = Callable[[str, int | None], AbstractContextManager[Advance]]
"""Shows work of some name and so many steps, None where they cannot be counted, while entered."""


@contextmanager
def _show_nothing(_: str, __: int | None) -> Iterator[Advance]:
    yield lambda _: None


_show: ContextVar[Show] = ContextVar("show", default=_show_nothing)


@contextmanager
def shown_by(show: Show) -> Iterator[None]:
    """Have the long work inside shown."""
    token = _show.set(show)
    try:
        yield
    finally:
        _show.reset(token)


def long_work(what: str, steps: int | None = None) -> AbstractContextManager[Advance]:
    """Tell of work that may take seconds or more, for as long as it is entered.

    Args:
        what: a few words, such as `writing model.onnx`.
        steps: how many there are; None where they cannot be counted.

    Returns:
        Gives, once entered, what is called with the number of steps just done.
    """
    return _show.get()(what, steps)


def each(items: Iterable[T], what: str, steps: int | None = None) -> Iterator[T]:
    """Yield items, telling of each that was worked off; arguments as of `long_work`."""
    with long_work(what, steps) as advance:
        for item in items:
            yield item
            advance(1)
