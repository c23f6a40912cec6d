"""When a trial at a rung is hopeless: the rule, on plain numbers.

A trial is stopped where three things hold together:

1. another dominates it, so it is not on the first front of its rung (those are never stopped);
2. it is not among the best `keep` by non-dominated rank, then by hypervolume contribution;
3. by what is known from trials that came to the end, it is expected to end more than `margin`
   standard deviations less accurate than one that costs no more.

For the third, a line is fitted to log error at the end over log error at the rung. It tells how
much of a gap usually stays, and its spread holds all that makes the end uncertain: noise of a small
validation set, curves that cross, fine-tunings of other lengths. Where a rung says little about
the end, the line is flat or the spread wide, and nothing is stopped. The second condition keeps
one lucky peer from stopping all that come near it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autodepth.errors import InputError
from autodepth.front.objective import Goal
from autodepth.front.ranking import contributions, ranks

_GOALS: tuple[Goal, Goal] = ("maximize", "minimize")
_FEWEST = 3  # a line and its spread need so many
_NO_SPREAD = 1e-12  # below it, all are equal but for rounding
_SMALLEST_ERROR = 0.002  # below it, log error would make much of a single image


@dataclass(frozen=True, kw_only=True)
class RungPoint:
    """A trial at a rung.

    Args:
        accuracy: validation accuracy, a fraction.
        cost: what the network costs, in one unit for all that are compared.

    Raises:
        InputError: a value is out of its range.
    """

    accuracy: float
    cost: float

    def __post_init__(self) -> None:
        check_accuracy(self.accuracy)
        if not 0 <= self.cost < math.inf:
            raise InputError(f"a cost must be at least 0 and finite, but got {self.cost}")


def check_accuracy(accuracy: float) -> None:
    """Refuse what is no share; one that is not a number is left to the caller.

    Raises:
        InputError: the accuracy is out of its range.
    """
    if not (math.isnan(accuracy) or 0 <= accuracy <= 1):
        raise InputError(f"an accuracy must be in [0, 1] or not a number, but got {accuracy}")


@dataclass(frozen=True, kw_only=True)
class RungRule:
    """Decides on a trial by what is known at its rung.

    Args:
        keep: share of the trials at a rung, in [0, 1], that goes on for its rank alone.
        margin: by how many standard errors a trial has to be expected behind, at least 0; higher
            stops fewer.
        fewest: nobody is stopped at a rung before so many that passed it came to the end; at
            least 3.

    Raises:
        InputError: a value is out of its range.
    """

    keep: float
    margin: float
    fewest: int

    def __post_init__(self) -> None:
        if not 0 <= self.keep <= 1:
            raise InputError(f"keep must be in [0, 1], but got {self.keep}")
        if not 0 <= self.margin < math.inf:
            raise InputError(f"margin must be at least 0 and finite, but got {self.margin}")
        if self.fewest < _FEWEST:
            raise InputError(f"fewest must be at least {_FEWEST}, but got {self.fewest}")

    def judge(
        self, trial: int, there: Mapping[int, RungPoint], ends: Mapping[int, float]
    ) -> tuple[int, bool, str]:
        """Compare a trial with the others at its rung.

        Args:
            trial: its number.
            there: every trial that reached the rung, itself included; accuracies are numbers.
            ends: accuracies of trials that came to the end of the stage.

        Returns:
            Its rank, 1 on the first front; whether it is stopped; and why or why not.
        """
        rows = [(point.accuracy, point.cost) for point in there.values()]
        rank = dict(zip(there, ranks(rows, _GOALS), strict=True))
        if rank[trial] == 1:
            return 1, False, "none that costs no more is more accurate"
        passed = [(point.accuracy, ends[n]) for n, point in there.items() if n in ends]
        if len(passed) < self.fewest:
            why = f"nobody is stopped before {self.fewest} came to the end from here"
            return rank[trial], False, why
        alone = dict(zip(there, contributions(rows, _GOALS), strict=True))
        standing = {number: (rank[number], -alone[number]) for number in there}
        ahead = sum(other < standing[trial] for other in standing.values())
        if ahead < self.keep * len(there):
            why = f"among the best {100 * self.keep:.3g} % by rank and contribution"
            return rank[trial], False, why
        return rank[trial], *self._expected(trial, there, _Line.fit(passed))

    def _expected(
        self, trial: int, there: Mapping[int, RungPoint], line: _Line
    ) -> tuple[bool, str]:
        """Compare the end a trial is expected to have with that of the best of no greater cost."""
        own = there[trial]
        rivals = [n for n, point in there.items() if n != trial and point.cost <= own.cost]
        # Of equal ones the first by number, so that nothing depends on who came when.
        rival = min(rivals, key=lambda n: (-there[n].accuracy, there[n].cost, n))
        best = there[rival]
        behind = line.end(own.accuracy) - line.end(best.accuracy)
        open_still = self.margin * line.error(own.accuracy, best.accuracy)
        stop = behind > open_still
        error = 100 * math.exp(line.end(own.accuracy))  # at the end, in points
        ends, still = (-error * math.expm1(-gap) for gap in (behind, open_still))
        cheaper = f"{100 * (1 - best.cost / own.cost):.1f} % less" if best.cost < own.cost else ""
        return stop, (
            f"{100 * (best.accuracy - own.accuracy):.1f} points below trial {rival}, which costs "
            f"{cheaper or 'as much'}; expected to end {ends:.1f} below it, "
            f"{'more than' if stop else 'within'} the {still:.1f} that is open"
        )


@dataclass(frozen=True, kw_only=True)
class _Line:
    """Least squares of log error at the end over log error at a rung."""

    mean_here: float
    mean_end: float
    slope: float
    deviation: float  # of a curve's end from the line
    width: float  # root of the summed squares of distances from `mean_here`

    @classmethod
    def fit(cls, accuracies: Sequence[tuple[float, float]]) -> _Line:
        """Fit accuracies at the rung and at the end, at least three pairs."""
        here = [_log_error(accuracy) for accuracy, _ in accuracies]
        end = [_log_error(accuracy) for _, accuracy in accuracies]
        mean_here, mean_end = math.fsum(here) / len(here), math.fsum(end) / len(end)
        pairs = [(x - mean_here, y - mean_end) for x, y in zip(here, end, strict=True)]
        square = math.fsum(x * x for x, _ in pairs)
        if square < _NO_SPREAD:
            square = 0.0
        # A falling line would have the worse at the rung end better: noise, not knowledge.
        slope = max(math.fsum(x * y for x, y in pairs) / square, 0.0) if square else 0.0
        rest = math.fsum((y - slope * x) ** 2 for x, y in pairs)
        return cls(
            mean_here=mean_here,
            mean_end=mean_end,
            slope=slope,
            deviation=math.sqrt(rest / (len(pairs) - 2)),
            width=math.sqrt(square),
        )

    def end(self, accuracy: float) -> float:
        """Return the log error expected at the end from an accuracy at the rung."""
        return self.mean_end + self.slope * (_log_error(accuracy) - self.mean_here)

    def error(self, accuracy: float, other: float) -> float:
        """Return the standard error of a gap at the end: that of a curve, and that of the slope."""
        if not self.width:
            return self.deviation  # the slope is 0, and so is the gap
        gap = _log_error(accuracy) - _log_error(other)
        return self.deviation * math.hypot(1.0, gap / self.width)


def _log_error(accuracy: float) -> float:
    return math.log(max(1.0 - accuracy, _SMALLEST_ERROR))
