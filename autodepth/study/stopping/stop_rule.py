"""When a trial at a rung is hopeless: the rule, on plain numbers.

A trial is stopped where three things hold together:

1. others dominate it, so it is not on the first front of its rung (those are never stopped);
2. it is not among the best `keep` by non-dominated rank, then by hypervolume contribution;
3. one of those that dominate it is expected to end better by more than `margin` standard
   deviations of such expectations.

What to expect is learned from trials that came to the end: least squares of log error at the end
over log error at the rung and log learning rate. It tells how much of a gap usually stays; its
deviation holds all that makes the end uncertain: noise of a small validation set, curves that
cross, fine-tunings of other lengths. Where a rung says little about the end, little is stopped.
The rate is there because under a one-cycle schedule it hides where a curve goes: a high one looks
worse at the rung than it ends. The second condition keeps one lucky trial from stopping all that
come near it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from autodepth.errors import InputError
from autodepth.front.ranking import contributions, ranks
from autodepth.space.objectives import Goal

_GOALS: tuple[Goal, Goal] = ("maximize", "minimize")
_FEWEST = 4  # two weights, a mean and a deviation need so many
_RIDGE = 0.5  # keeps weights finite where few trials are known, or all have one rate
_ROUNDING = 1e-12  # a sum of squares below it is that of equal values
_SMALLEST_ERROR = 0.002  # below it, log error would make much of a single image


@dataclass(frozen=True, kw_only=True)
class RungPoint:
    """A trial at a rung.

    Args:
        accuracy: validation accuracy, a fraction.
        cost: what the network costs, in one unit for all that are compared.
        rate: highest learning rate of the trial's schedule, above 0.

    Raises:
        InputError: a value is out of its range.
    """

    accuracy: float
    cost: float
    rate: float = 1.0

    def __post_init__(self) -> None:
        check_accuracy(self.accuracy)
        if not 0 <= self.cost < math.inf:
            raise InputError(f"a cost must be at least 0 and finite, but got {self.cost}")
        if not 0 < self.rate < math.inf:
            raise InputError(f"a learning rate must be above 0 and finite, but got {self.rate}")


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
        margin: by how many standard deviations a trial has to be expected behind, at least 0;
            higher stops fewer.
        fewest: nobody is stopped at a rung before so many that passed it came to the end; at
            least 4.

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
            ends: accuracies of trials that came to the end of the phase.

        Returns:
            Its rank, 1 on the first front; whether it is stopped; and why or why not.
        """
        rivals = _dominators(there, there[trial])
        if not rivals:
            return 1, False, "none that costs no more is more accurate"
        # A chain of dominators that ends at a trial holds none but its own.
        rank = 1 + max(ranks([_row(point) for point in rivals.values()], _GOALS))
        passed = [(point, ends[number]) for number, point in there.items() if number in ends]
        if len(passed) < self.fewest:
            why = f"nobody is stopped before {self.fewest} came to the end from here"
            return rank, False, why
        if len(rivals) < self.keep * len(there) and self._kept(trial, there):
            why = f"among the best {100 * self.keep:.3g} % by rank and contribution"
            return rank, False, why
        return rank, *self._compared(there[trial], rivals, _Expectation.learn(passed))

    def _kept(self, trial: int, there: Mapping[int, RungPoint]) -> bool:
        """Return whether fewer than the share `keep` stand before a trial."""
        rows = [_row(point) for point in there.values()]
        rank = dict(zip(there, ranks(rows, _GOALS), strict=True))
        room = self.keep * len(rank) - sum(other < rank[trial] for other in rank.values())
        if room <= 0:
            return False
        alone = dict(zip(rank, contributions(rows, _GOALS), strict=True))
        return room > sum(
            alone[other] > alone[trial] for other in rank if rank[other] == rank[trial]
        )

    def _compared(
        self, own: RungPoint, rivals: Mapping[int, RungPoint], expectation: _Expectation
    ) -> tuple[bool, str]:
        """Compare a dominated trial with the one, of those that dominate it, that promises most."""
        if not expectation.of_error > 0:
            return False, "so far, accuracy here told nothing of the end"
        # Of equal ones the first by number, so that nothing depends on who came when.
        error, rival = min((expectation.at(point), number) for number, point in rivals.items())
        behind = expectation.at(own) - error
        open_still = self.margin * expectation.deviation
        stop = behind > open_still
        best, scale = rivals[rival], 100 * math.exp(expectation.at(own))
        less = f"{100 * (1 - best.cost / own.cost):.1f} % less" if best.cost < own.cost else ""
        gap = -scale * math.expm1(-behind)  # in points of accuracy, as all that a person reads
        return stop, (
            f"{100 * (best.accuracy - own.accuracy):.1f} points below trial {rival}, which costs "
            f"{less or 'as much'}; expected to end {abs(gap):.1f} "
            f"{'below' if gap >= 0 else 'above'} it, {'more than' if stop else 'within'} the "
            f"{-scale * math.expm1(-open_still):.1f} that are open"
        )


@dataclass(frozen=True, kw_only=True)
class _Expectation:
    """Log error at the end, linear in log error at a rung and log learning rate."""

    constant: float
    of_error: float
    of_rate: float
    deviation: float  # of what came from what was expected

    @classmethod
    def learn(cls, passed: Sequence[tuple[RungPoint, float]]) -> _Expectation:
        """Fit points at the rung and accuracies at the end, at least four pairs.

        Ridge regression: what is the same for all has no weight, rather than an undefined one.
        """
        errors = _centred([_log_error(point.accuracy) for point, _ in passed])
        rates = _centred([math.log(point.rate) for point, _ in passed])
        ends = _centred([_log_error(accuracy) for _, accuracy in passed])
        grown = 1 + _RIDGE / len(passed)
        error_2, rate_2 = grown * _product(errors, errors), grown * _product(rates, rates)
        both, error_end = _product(errors, rates), _product(errors, ends)
        if rate_2 > _ROUNDING and error_2 > _ROUNDING:
            shared = error_2 * rate_2 - both**2  # above 0, as the products have grown
            of_error = (rate_2 * error_end - both * _product(rates, ends)) / shared
            of_rate = (error_2 * _product(rates, ends) - both * error_end) / shared
        else:
            of_error = error_end / error_2 if error_2 > _ROUNDING else 0.0
            of_rate = 0.0
        rest = math.fsum(
            (end - of_error * error - of_rate * rate) ** 2
            for end, error, rate in zip(ends.away, errors.away, rates.away, strict=True)
        )
        return cls(
            constant=ends.mean - of_error * errors.mean - of_rate * rates.mean,
            of_error=of_error,
            of_rate=of_rate,
            deviation=math.sqrt(rest / (len(passed) - 3)),
        )

    def at(self, point: RungPoint) -> float:
        """Return the log error expected at the end of a trial from its point at the rung."""
        here = self.of_error * _log_error(point.accuracy)
        return self.constant + here + self.of_rate * math.log(point.rate)


def _row(point: RungPoint) -> tuple[float, float]:
    return point.accuracy, point.cost


def _dominators(there: Mapping[int, RungPoint], own: RungPoint) -> dict[int, RungPoint]:
    """Return the trials that are no worse on both objectives and better on one."""
    return {
        number: point
        for number, point in there.items()
        if point.cost <= own.cost
        and point.accuracy >= own.accuracy
        and (point.cost < own.cost or point.accuracy > own.accuracy)
    }


class _Centred(NamedTuple):
    mean: float
    away: list[float]


def _centred(values: Sequence[float]) -> _Centred:
    mean = math.fsum(values) / len(values)
    return _Centred(mean, [value - mean for value in values])


def _product(a: _Centred, b: _Centred) -> float:
    # fsum rounds once, so that the order of trials changes no verdict.
    return math.fsum(x * y for x, y in zip(a.away, b.away, strict=True))


def _log_error(accuracy: float) -> float:
    return math.log(max(1.0 - accuracy, _SMALLEST_ERROR))
