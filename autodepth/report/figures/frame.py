"""Which part of the plane a figure of a front shows: where the front is, as in the explorer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

Points: TypeAlias = tuple[list[float], list[float]]
"""What lies across, and what stands up."""
WIDE = 20  # costs that span more than this are drawn on a logarithmic axis
_ROOM = 0.06  # around what is shown
_LEEWAY = 0.35  # around the front, for what is near it
_POINT = 1e-6  # of the size of values: what spans less is one point


class Reach(NamedTuple):
    """What an axis shows, from edge to edge, in its own unit."""

    low: float
    high: float
    log: bool

    @property
    def exponents(self) -> list[float]:
        """The edges as plotly has them: on a logarithmic axis the exponents of ten."""
        return [math.log10(edge) if self.log else edge for edge in (self.low, self.high)]

    def held(self, value: float) -> float:
        """Return a value, or the edge that it lies beyond."""
        return min(self.high, max(self.low, value))


def frame_of(matter: Points, every: Points) -> tuple[Reach, Reach]:
    """Return what the axis across shows, by logarithms where costs want it, and the one upright.

    Args:
        matter: the front, what fresh seeds say of it and the unpruned network; at least one value
            in each direction.
        every: all trials.
    """
    across = reach(matter[0], every[0], log=is_wide(matter[0]))
    return across, reach(matter[1], every[1])


def is_wide(values: Iterable[float]) -> bool:
    """Whether values span so much that the small ones lie upon one another on a linear axis."""
    known = [value for value in values if value > 0]
    return len(known) > 1 and max(known) / min(known) > WIDE


def reach(matter: Sequence[float], every: Sequence[float], *, log: bool = False) -> Reach:
    """Return what an axis shows: all that matters, and of the rest what is near it.

    Args:
        matter: the values of the front, of what fresh seeds say and of the unpruned network.
        every: those of all trials.
        log: whether the axis is logarithmic; values of 0 and below are nowhere then.
    """
    inner, outer = (
        [math.log10(v) if log else v for v in values if math.isfinite(v) and (not log or v > 0)]
        for values in (matter, every)
    )
    low, high = min(inner), max(inner)
    span = (high - low) or abs(high) or 1.0
    least = max(min([*outer, low]), low - _LEEWAY * span)
    most = min(max([*outer, high]), high + _LEEWAY * span)
    shown = most - least
    room = _ROOM * (shown if shown > _POINT * span else span)
    low, high = least - room, most + room
    return Reach(10**low, 10**high, log) if log else Reach(low, high, log)
