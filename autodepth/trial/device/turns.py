"""Timing calls by turns: what slows the machine down for a while slows all. No torch here."""

from __future__ import annotations

import math
import timeit
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

Clock = Callable[[], float]

_SECONDS = 0.2  # for each call
_SHORTEST = 1e-3  # seconds of a timed call, so that reading the clock is nothing beside it
_ROUNDS = (9, 100)


@dataclass(frozen=True, kw_only=True)
class Latency:
    """How long one pass of a network takes.

    Args:
        ms: median, milliseconds; in the median time of what took turns with it first.
        iqr_ms: distance of the quartiles; None where only one time is known.
        calls: timed passes, or short runs of passes where one is below a millisecond.
        joules: of all CPU packages in one pass; None where there is no meter.
    """

    ms: float
    iqr_ms: float | None = None
    calls: int = 1
    joules: float | None = None


def times_by_turns(
    calls: Sequence[Callable[[], object]],
    clock: Clock,
    *,
    warm_up: int = 2,
    seconds: float | None = None,
    joules: Callable[[], float] | None = None,
) -> list[Latency]:
    """Return how long each call takes.

    Calls take turns, and each is compared with the first of the same round; the medians of these
    ratios are told in the median time of the first.

    Args:
        calls: what to time, at least one.
        clock: seconds, from any beginning.
        warm_up: calls that do not count.
        seconds: time for each; None for a fifth of one.
        joules: of all CPU packages, from any beginning; None where there is no meter.
    """
    timers = [timeit.Timer(call, timer=clock) for call in calls]
    for timer in timers:
        timer.timeit(warm_up)
    once = [max(timer.timeit(2) / 2, 1e-9) for timer in timers]
    numbers = [math.ceil(_SHORTEST / each) for each in once]
    longest = max(number * each for number, each in zip(numbers, once, strict=True))
    rounds = min(max(round((seconds or _SECONDS) / longest), _ROUNDS[0]), _ROUNDS[1])
    taken: list[list[float]] = []
    used = [0.0 for _ in calls]
    for turn in range(rounds):
        row = [0.0 for _ in calls]
        for i in range(len(calls))[:: 1 if turn % 2 else -1]:  # nobody is always second
            before = joules() if joules else 0.0
            row[i] = timers[i].timeit(numbers[i]) / numbers[i]
            used[i] += joules() - before if joules else 0.0
        taken.append([max(each, 1e-9) for each in row])
    first = median(row[0] for row in taken)
    found = []
    for i, number in enumerate(numbers):
        ratios = [row[i] / row[0] for row in taken]
        low, _, high = quantiles([row[i] for row in taken], n=4)
        found.append(
            Latency(
                ms=1e3 * first * median(ratios),
                iqr_ms=1e3 * (high - low),
                calls=rounds,
                joules=used[i] / (rounds * number) if joules else None,
            )
        )
    return found
