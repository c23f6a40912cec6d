"""Survival probabilities: how the chance that a branch is kept falls with depth.

Branches are numbered l = 1..L from the input. Every shape runs through
``p_l = 1 - g(l/L) (1 - p_L)`` with a rising profile g, g(1) = 1; the linear decay rule of
Huang et al. 2016 (arXiv 1603.09382, section 3) is g(x) = x, so branch 1 may already be dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

from autodepth.errors import InputError, did_you_mean

DecayShape = Literal["linear", "uniform", "power", "cosine"]
DECAY_SHAPES: tuple[DecayShape, ...] = get_args(DecayShape)
GateMode = Literal["batch", "sample"]
GATE_MODES: tuple[GateMode, ...] = get_args(GateMode)
Compensation = Literal["test_time", "inverted"]
COMPENSATIONS: tuple[Compensation, ...] = get_args(Compensation)


def survival_probabilities(
    survival_prob_last: float,
    num_branches: int,
    shape: DecayShape = "linear",
    *,
    power: float = 1.0,
) -> tuple[float, ...]:
    """Return p_1..p_L, each in [p_L, 1] and never rising with depth.

    Args:
        survival_prob_last: p_L, survival probability of the last branch, in (0, 1].
        num_branches: L, the number of residual branches, at least 1.
        shape: `linear` (the rule of Huang et al.), `uniform` (every branch p_L),
            `power` ((l/L)**power) or `cosine` (half a cosine wave: slow, fast, slow).
        power: exponent of the `power` shape, above 0; below 1 drops early branches more.

    Raises:
        InputError: an argument is outside its range.
    """
    check_survival_prob(survival_prob_last)
    if num_branches < 1:
        raise InputError(f"num_branches must be at least 1, but got {num_branches}")
    check_choice("decay_shape", shape, DECAY_SHAPES)
    if not power > 0:
        raise InputError(f"decay_power must be above 0, but got {power}")
    profile = _profile(shape, power)
    # 1 - g can round below p_L in the last bit; the bound is part of the promise.
    return tuple(
        max(survival_prob_last, 1.0 - profile(branch / num_branches) * (1.0 - survival_prob_last))
        for branch in range(1, num_branches + 1)
    )


def expected_branches(survival: tuple[float, ...]) -> float:
    """Return the expected number of branches computed in one training step."""
    return math.fsum(survival)


def check_survival_prob(survival_prob_last: float) -> None:
    """Raise InputError unless p_L is in (0, 1]."""
    if not 0.0 < survival_prob_last <= 1.0:
        raise InputError(f"survival_prob_last must be in (0, 1], but got {survival_prob_last}")


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise InputError unless a setting has one of the values known."""
    if value not in known:
        raise InputError(
            f"{name} must be one of {', '.join(known)}, but got {value!r}"
            + did_you_mean(value, known)
        )


def _profile(shape: DecayShape, power: float) -> Callable[[float], float]:
    profiles: dict[DecayShape, Callable[[float], float]] = {
        "linear": lambda x: x,
        "uniform": lambda _: 1.0,
        "power": lambda x: x**power,
        "cosine": lambda x: 0.5 * (1.0 - math.cos(math.pi * x)),
    }
    return profiles[shape]
