"""What one setting may be: a value, a range or a choice."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from autodepth.errors import InputError
from autodepth.policy.values import Scalar, is_number, is_whole
from autodepth.space.conditions import Condition

# Share of a step by which a value may miss the grid: 0.5 + 4 * 0.1 is not the float 0.9.
_GRID_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Fixed:
    """One value; nothing to search."""

    value: Scalar

    def contains(self, value: Scalar) -> bool:
        """Return whether the value is the fixed one."""
        return value == self.value

    def to_setting(self) -> Scalar:
        """Return the domain as a space file spells it."""
        return self.value


@dataclass(frozen=True)
class FloatRange:
    """Real numbers in [low, high].

    Args:
        low: smallest value.
        high: largest value, above `low`.
        log: search the logarithm evenly; needs `low` above 0 and no `step`.
        step: distance between values, counted from `low`; None for all of them.

    Raises:
        InputError: the four do not fit together.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, log=self.log, step=self.step)

    def snap(self, value: float) -> float:
        """Return the nearest value of the range, as people write it: 0.8, never 0.7999999999999."""
        value = min(max(value, self.low), self.high)
        if self.step is None:
            return value
        decimals = max(_decimals(self.low), _decimals(self.step))
        steps = round((value - self.low) / self.step)
        return min(self.high, round(self.low + steps * self.step, decimals))

    def contains(self, value: Scalar) -> bool:
        """Return whether the value lies in the range and on the grid."""
        return (
            is_number(value)
            and self.low <= float(value or 0) <= self.high
            and _on_grid(float(value or 0) - self.low, self.step)
        )

    def to_setting(self) -> dict[str, Any]:
        """Return the domain as a space file spells it."""
        return _range_setting("float", self)


@dataclass(frozen=True)
class IntRange:
    """Whole numbers in [low, high].

    Args:
        low: smallest value.
        high: largest value, above `low`.
        log: search the logarithm evenly; needs `low` above 0 and `step` 1.
        step: distance between values, counted from `low`.

    Raises:
        InputError: the four do not fit together.
    """

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, log=self.log, step=None if self.step == 1 else self.step)

    def snap(self, value: float) -> int:
        """Return the nearest value of the range."""
        steps = round((min(max(value, self.low), self.high) - self.low) / self.step)
        return self.low + steps * self.step

    def contains(self, value: Scalar) -> bool:
        """Return whether the value is whole, lies in the range and on the grid."""
        return (
            isinstance(value, int)
            and is_whole(value)
            and self.low <= value <= self.high
            and (value - self.low) % self.step == 0
        )

    def to_setting(self) -> dict[str, Any]:
        """Return the domain as a space file spells it."""
        return _range_setting("int", self)


@dataclass(frozen=True)
class Choice:
    """One of a few values without order.

    Raises:
        InputError: there is no value, or one is given twice.
    """

    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError("values must hold at least one value, but got none")
        twice = [value for i, value in enumerate(self.values) if value in self.values[:i]]
        if twice:
            raise InputError(f"values must differ from each other, but got {twice[0]!r} twice")

    def contains(self, value: Scalar) -> bool:
        """Return whether the value is one of the choices."""
        return value in self.values

    def to_setting(self) -> dict[str, Any]:
        """Return the domain as a space file spells it."""
        return {"type": "choice", "values": list(self.values)}


Domain: TypeAlias = Fixed | FloatRange | IntRange | Choice


@dataclass(frozen=True)
class Dimension:
    """A named setting of the policy, with what it may be and when it counts.

    Args:
        name: `p_L`, `sensitivity_threshold.2`, `train.learning_rate` and the like.
        domain: what it may be.
        condition: when it counts; if it does not hold the policy's default is taken.
    """

    name: str
    domain: Domain
    condition: Condition | None = None

    def counts_at(self, point: Mapping[str, Scalar]) -> bool:
        """Whether the dimension counts, given the values of those it depends on."""
        return self.condition is None or self.condition.holds(point)


def random_value(domain: Domain, generator: random.Random) -> Scalar:
    """Return a value of a domain, each equally likely (on a logarithmic scale where it says so)."""
    match domain:
        case Fixed(value=value):
            return value
        case Choice(values=values):
            return generator.choice(values)
        case IntRange(low=low, high=high, step=step, log=log):
            if log:
                return min(high, round(_log_uniform(low, high, generator)))
            return low + step * generator.randint(0, (high - low) // step)
        case FloatRange(low=low, high=high, step=step, log=log):
            if step is not None:
                steps = generator.randint(0, round((high - low) / step))
                return domain.snap(low + step * steps)
            return _log_uniform(low, high, generator) if log else generator.uniform(low, high)


def nearest_value(domain: Domain, value: Scalar) -> Scalar:
    """Return the value of a domain that is nearest to a number; any other value as it is."""
    if not is_number(value):
        return value
    match domain:
        case FloatRange() | IntRange():
            return domain.snap(float(value or 0))
        case Choice(values=values) if all(map(is_number, values)):
            return min(values, key=lambda known: abs(float(known or 0) - float(value or 0)))
    return value


def largest_value(domain: Domain) -> Scalar:
    """Return the largest value of a domain of numbers."""
    match domain:
        case Fixed(value=value):
            return value
        case Choice(values=values):
            return max(values, key=lambda value: float(value or 0))
        case IntRange(high=high) | FloatRange(high=high):
            return high


def _decimals(number: float) -> int:
    """Return how many decimals a person writes a number with."""
    exponent = Decimal(repr(float(number))).normalize().as_tuple().exponent
    return max(0, -int(exponent))


def _log_uniform(low: float, high: float, generator: random.Random) -> float:
    return min(high, max(low, math.exp(generator.uniform(math.log(low), math.log(high)))))


def _check_range(low: float, high: float, *, log: bool, step: float | None) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"min and max must be finite, but got min {low} and max {high}")
    if low >= high:
        raise InputError(
            f"min must be below max, but got min {low} and max {high}; "
            "to fix a setting write its value alone"
        )
    if log and low <= 0:
        raise InputError(f"min must be above 0 when log is true, but got min {low}")
    if step is None:
        return
    if not 0 < step < math.inf:
        raise InputError(f"step must be above 0, but got {step}")
    if log:
        raise InputError(f"step and log cannot go together, but got step {step} and log true")
    if not _on_grid(high - low, step):
        raise InputError(
            f"max must be min plus a multiple of step, or it is never tried, "
            f"but got min {low}, max {high} and step {step}"
        )


def _on_grid(distance: float, step: float | None) -> bool:
    return step is None or abs(distance / step - round(distance / step)) <= _GRID_TOLERANCE


def _range_setting(kind: str, domain: FloatRange | IntRange) -> dict[str, Any]:
    setting: dict[str, Any] = {"type": kind, "min": domain.low, "max": domain.high}
    if domain.log:
        setting["log"] = True
    if domain.step not in {None, 1} or (kind == "float" and domain.step == 1):
        setting["step"] = domain.step
    return setting
