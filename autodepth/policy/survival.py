"""Survival probabilities: how the chance that a branch is kept falls with depth.

Branches are numbered l = 1..L from the input. Every shape of depth alone runs through
``p_l = 1 - g(l/L) (1 - p_L)`` with a rising profile g, g(1) = 1; the linear decay rule of
Huang et al. 2016 (arXiv 1603.09382, section 3) is g(x) = x, so branch 1 may already be dropped.
The `step` shape is linear in the number of the stage instead, and `sensitivity` hands the linear
rule's probabilities out by measured sensitivity (`by_sensitivity`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from autodepth.errors import InputError, did_you_mean

DecayShape = Literal["linear", "uniform", "power", "cosine", "step", "sensitivity"]
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
    stages: Sequence[int] | None = None,
) -> tuple[float, ...]:
    """Return p_1..p_L, each in [p_L, 1] and never rising with depth.

    For the `sensitivity` shape this is what training begins with, before anything is measured:
    the linear rule.

    Args:
        survival_prob_last: p_L, survival probability of the last branch, in (0, 1].
        num_branches: L, the number of residual branches, at least 1.
        shape: `linear` (the rule of Huang et al.), `uniform` (every branch p_L),
            `power` ((l/L)**power), `cosine` (half a cosine wave: slow, fast, slow), `step` (as
            linear, but equal within a stage: s/S of stage s in place of l/L) or `sensitivity`.
        power: exponent of the `power` shape, above 0; below 1 drops early branches more.
        stages: stage of each branch, numbered from 1; the `step` shape needs it.

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
    depths = [branch / num_branches for branch in range(1, num_branches + 1)]
    if shape == "step":
        if stages is None or len(stages) != num_branches:
            raise InputError(f"the step shape needs the stage of each of {num_branches} branches")
        depths = [stage / max(stages) for stage in stages]
    # 1 - g can round below p_L in the last bit; the bound is part of the promise.
    return tuple(
        max(survival_prob_last, 1.0 - profile(depth) * (1.0 - survival_prob_last))
        for depth in depths
    )


def by_sensitivity(
    survival: Sequence[float], sensitivities: Sequence[float], macs: Sequence[int]
) -> tuple[float, ...]:
    """Return survival probabilities that drop weak branches more, at equal expected MACs.

    The given probabilities are dealt out anew: the most sensitive branch gets the highest. Where
    branches differ in cost, all chances to be dropped are then scaled alike, within the range of
    the given ones, until a step costs what it did.

    Args:
        survival: p_l of each branch, as the linear rule has them.
        sensitivities: what is lost without each branch, in any unit.
        macs: multiply-accumulates of each branch.
    """
    order = sorted(range(len(survival)), key=lambda i: (-sensitivities[i], i))
    dealt = dict(zip(order, sorted(survival, reverse=True), strict=True))
    wanted, least = expected_cost(survival, macs), min(survival)

    def scaled(factor: float) -> tuple[float, ...]:
        chances = (dealt[i] for i in range(len(survival)))
        return tuple(max(least, 1.0 - factor * (1.0 - chance)) for chance in chances)

    if least == 1.0 or math.isclose(expected_cost(scaled(1.0), macs), wanted, rel_tol=1e-12):
        return scaled(1.0)
    low, high = 0.0, 1.0 / min(1.0 - chance for chance in survival if chance < 1.0)
    for _ in range(100):  # halving: the cost falls as the factor rises
        middle = (low + high) / 2
        if expected_cost(scaled(middle), macs) > wanted:
            low = middle
        else:
            high = middle
    return scaled(high)


def expected_branches(survival: Sequence[float]) -> float:
    """Return the expected number of branches computed in one training step."""
    return math.fsum(survival)


def expected_cost(survival: Sequence[float], macs: Sequence[int]) -> float:
    """Return the expected multiply-accumulates of a step's branches, per image."""
    return math.fsum(chance * cost for chance, cost in zip(survival, macs, strict=True))


def check_survival_prob(value: float, name: str = "survival_prob_last") -> None:
    """Raise InputError unless a survival probability is in (0, 1]."""
    if not 0.0 < value <= 1.0:
        raise InputError(f"{name} must be in (0, 1], but got {value}")


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
        "step": lambda x: x,
        "sensitivity": lambda x: x,
    }
    return profiles[shape]
