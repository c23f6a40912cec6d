"""Choosing what goes: sensitivities and thresholds to branch numbers. Plain numbers only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autodepth.errors import InputError
from autodepth.policy.policy import ThresholdScope


def branches_to_remove(
    sensitivities: Mapping[int, float],
    stages: Mapping[int, int],
    thresholds: Sequence[float] | None,
    per: ThresholdScope = "network",
) -> tuple[int, ...]:
    """Return the branches whose sensitivity lies below their threshold, in order.

    At least one branch per stage stays: where all of a stage would go, the most sensitive one
    (the deepest among equals) is kept. Raising a threshold never brings a branch back.

    Args:
        sensitivities: validation accuracy lost when a branch is bypassed, by number, for every
            branch that may be removed.
        stages: stage of every branch of the network, by number.
        thresholds: one value, or one per stage or per branch of the network, in order; None
            removes nothing.
        per: what each threshold speaks for.

    Raises:
        InputError: the number of thresholds does not fit.
    """
    if thresholds is None:
        return ()
    limits = _limits(stages, thresholds, per)
    going = {branch for branch, lost in sensitivities.items() if lost < limits[branch]}
    for stage in set(stages.values()):
        members = [branch for branch, its_stage in stages.items() if its_stage == stage]
        if going.issuperset(members):
            going.remove(max(members, key=lambda branch: (sensitivities[branch], branch)))
    return tuple(sorted(going))


def _limits(
    stages: Mapping[int, int], thresholds: Sequence[float], per: ThresholdScope
) -> dict[int, float]:
    """Return the threshold of each branch."""
    order = sorted(stages)
    expected = {"network": 1, "stage": max(stages.values()), "block": len(order)}[per]
    if len(thresholds) != expected:
        raise InputError(
            f"sensitivity_threshold per {per} needs {expected} values, but got {len(thresholds)}"
        )
    if per == "block":
        return dict(zip(order, thresholds, strict=True))
    return {b: thresholds[stages[b] - 1 if per == "stage" else 0] for b in order}
