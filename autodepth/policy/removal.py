"""Choosing what goes: scores and a goal to branch numbers. Plain numbers only.

Scores are compared on one scale, whatever the criterion: 1 is the mean of what the network's
branches are worth. So a threshold of 0.5 asks for the branches worth less than half of that.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from autodepth.errors import InputError
from autodepth.policy.policy import Policy


def unit_of(raw: Mapping[int, float]) -> float:
    """Return what counts as 1 on the common scale: the mean of the scores' positive parts.

    Args:
        raw: what is lost without each branch, by branch number, in the criterion's own unit;
            negative where the network is better without.
    """
    mean = sum(max(0.0, score) for score in raw.values()) / max(1, len(raw))
    return mean if mean > 0 else 1.0


def in_units(scores: Mapping[int, float], unit: float) -> dict[int, float]:
    """Return scores on the common scale, 1 being `unit`."""
    return {branch: score / unit for branch, score in scores.items()}


def branches_back(removal: Removal, removed: Collection[int]) -> tuple[int, ...]:
    """Return which removed branches come back so that no more are gone than a policy says.

    The stage that lacks the largest share of its branches gets one first, its first one.

    Args:
        removal: of the policy.
        removed: numbers of the branches that are gone.
    """
    policy = removal.policy
    if policy.branches is not None:
        return tuple(branch for branch in sorted(removed) if branch not in policy.branches)
    if policy.branches_removed is None:
        return ()
    gone, back = set(removed), list[int]()
    count = Counter(removal.stages.values())
    while len(gone) > policy.branches_removed:
        lacking = Counter(removal.stages[branch] for branch in gone)
        branch = min(
            gone, key=lambda b: (-lacking[removal.stages[b]] / count[removal.stages[b]], b)
        )
        gone.remove(branch)
        back.append(branch)
    return tuple(back)


def floors(stages: Mapping[int, int], least: int) -> list[tuple[list[int], int]]:
    """Return the branches of each stage, and how many of them have to stay.

    Args:
        stages: stage of each branch that is there, by number.
        least: of every stage as many stay, or all where it has fewer.
    """
    members: dict[int, list[int]] = {}
    for branch, stage in stages.items():
        members.setdefault(stage, []).append(branch)
    return [(branches, min(least, len(branches))) for branches in members.values()]


@dataclass(frozen=True, kw_only=True)
class Removal:
    """The rule by which branches of one network go, weakest first.

    Of every stage as many branches stay as the policy says, one by default: those of the highest
    scores, the deepest among equals, unless enough that cannot go stay there anyway. A goal that
    this and protection keep out of reach is approached as far as they let. Branches that a policy
    names go in its order, whatever they are worth, and may leave a stage empty.

    Args:
        policy: its thresholds, or count, or MACs, or branches; without any, nothing goes.
        stages: stage of every branch of the network, by number.
        macs: multiply-accumulates of every branch, by number.
        total_macs: multiply-accumulates of the whole network.

    Raises:
        InputError: the number of thresholds does not fit, or a protected branch is not there.
    """

    policy: Policy
    stages: Mapping[int, int]
    macs: Mapping[int, int]
    total_macs: int

    def __post_init__(self) -> None:
        self._limits()
        policy = self.policy
        named = {"protected": policy.protected, "branches": policy.branches or ()}
        for name, branches in {**named, "widths": dict(policy.widths)}.items():
            if missing := sorted(set(branches) - self.stages.keys()):
                raise InputError(
                    f"{name} must name branches of the network, 1 to {max(self.stages)}, "
                    f"but got {missing[0]}"
                )

    def step(
        self, scores: Mapping[int, float], removed: Collection[int], most: int | None = None
    ) -> tuple[int, ...]:
        """Return the branches that go by one scoring, in the order in which they go.

        Args:
            scores: what each branch that may be removed is worth, on the common scale.
            removed: numbers of the branches that are gone.
            most: how many may go; None for all that the goal asks for.
        """
        going: list[int] = []
        while most is None or len(going) < most:
            branch = self.next(scores, [*removed, *going])
            if branch is None:
                break
            going.append(branch)
        return tuple(going)

    def next(self, scores: Mapping[int, float], removed: Collection[int]) -> int | None:
        """Return the branch that goes next, or None when the goal is met or nothing may go.

        Args:
            scores: as of `step`; of branches that are gone they are not read.
            removed: numbers of the branches that are gone.
        """
        if self.policy.branches is not None:
            return next((b for b in self.policy.branches if b not in removed), None)
        if self.met(removed):
            return None
        limits = self._limits()
        free = {
            branch: score
            for branch, score in scores.items()
            if branch not in removed and branch not in self.policy.protected
        }
        kept = self._best_of_stages(free, removed)
        going = [(score, b) for b, score in free.items() if score < limits[b] and b not in kept]
        return min(going)[1] if going else None

    def _best_of_stages(self, free: Mapping[int, float], removed: Collection[int]) -> set[int]:
        """Return the best branches of each stage, as many as it has to keep of those that may go.

        They stay whatever their thresholds are, so that raising these brings no branch back.
        """
        staying = Counter(s for b, s in self.stages.items() if b not in removed and b not in free)
        kept = set()
        for _, branch in sorted(((score, b) for b, score in free.items()), reverse=True):
            stage = self.stages[branch]
            if staying[stage] < self.policy.least_per_stage:
                staying[stage] += 1
                kept.add(branch)
        return kept

    def allows(self, removed: Collection[int]) -> bool:
        """Whether all of these may be gone: none is protected, each stage keeps what it has to."""
        size = Counter(self.stages.values())
        staying = Counter(s for b, s in self.stages.items() if b not in removed)
        least = self.policy.least_per_stage
        return not set(removed) & set(self.policy.protected) and all(
            staying[stage] >= min(least, count) for stage, count in size.items()
        )

    def met(self, removed: Collection[int]) -> bool:
        """Whether the goal is reached without these branches, whatever the others are worth."""
        policy = self.policy
        if policy.branches_removed is not None:
            return len(removed) >= policy.branches_removed
        if policy.macs_target is not None:
            left = self.total_macs - sum(self.macs[branch] for branch in removed)
            return left <= policy.macs_target * self.total_macs
        return policy.sensitivity_threshold is None

    def _limits(self) -> dict[int, float]:
        """Return the score each branch has to reach to stay."""
        thresholds, per = self.policy.sensitivity_threshold, self.policy.threshold_per
        order = sorted(self.stages)
        if thresholds is None:
            return dict.fromkeys(order, math.inf)
        expected = {"network": 1, "stage": max(self.stages.values()), "block": len(order)}[per]
        if len(thresholds) != expected:
            raise InputError(
                f"sensitivity_threshold per {per} needs {expected} values, "
                f"but got {len(thresholds)}"
            )
        if per == "block":
            return dict(zip(order, thresholds, strict=True))
        return {b: thresholds[self.stages[b] - 1 if per == "stage" else 0] for b in order}
