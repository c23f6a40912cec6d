"""A trial that cut a network out of a trained parent: others can be cut out like it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from autodepth.policy.policy import Policy
from autodepth.trial.result import TrialResult

_BLIND = {"random", "evenly_spaced", "stage_ends"}  # criteria that say nothing of a branch's worth


@dataclass(frozen=True, kw_only=True)
class Template:
    """A trial that cut a network out of a trained parent.

    Args:
        number: of the trial.
        policy: that it carried out.
        result: what that brought.
        worth: what the parent loses without each branch; empty where none was scored.
        narrower: what it loses with a narrower one, by branch and width, as of `TrialResult`.
    """

    number: int
    policy: Policy
    result: TrialResult
    worth: Mapping[int, float]
    narrower: Mapping[int, Mapping[float, float]]

    @classmethod
    def of(cls, number: int, policy: Policy, result: TrialResult) -> Template:
        """Return what a trial tells by itself."""
        worth, narrower = result.sensitivities, result.variants
        return cls(number=number, policy=policy, result=result, worth=worth, narrower=narrower)

    @property
    def tells_worth(self) -> bool:
        """Whether other networks may be chosen by its scores, and cut out like its own."""
        judged = self.policy.removes_jointly or self.policy.criterion not in _BLIND
        return bool(self.worth) and judged and self.policy.stream_width == 1

    @property
    def parent(self) -> str:
        """What trials of one parent have in common."""
        return json.dumps(self.policy.shaping("parent"), sort_keys=True)

    @property
    def problem(self) -> str:
        """What trials have in common of which the same branches go."""
        floors = [sorted(self.policy.protected), self.policy.least_per_stage]
        narrower = {branch: sorted(lost.items()) for branch, lost in self.narrower.items()}
        return json.dumps([sorted(self.worth.items()), sorted(narrower.items()), floors])

    @property
    def widths(self) -> dict[int, float]:
        """Width of each branch that the trial changed by name; 0 of those that went."""
        own = {**dict(self.policy.widths), **self.result.widths}
        return own | dict.fromkeys(self.result.removed, 0.0)

    def cut(self, widths: Mapping[int, float]) -> Policy:
        """Return the policy that leaves other widths of the same parent, and tunes them alike."""
        plain = replace(self.policy, removal="one_shot", filter_sparsity=0.0)
        narrower = tuple((branch, width) for branch, width in widths.items() if 0 < width < 1)
        removed = tuple(branch for branch, width in widths.items() if not width)
        return replace(plain.removing(branches=removed), widths=narrower)

    def knows(self, widths: Mapping[int, float]) -> bool:
        """Whether it is known what is lost with these widths."""
        return all(
            branch in self.worth and (not width or width in self.narrower.get(branch, {}))
            for branch, width in widths.items()
            if width < 1
        )

    def lost(self, widths: Mapping[int, float]) -> float:
        """Return the share of what all branches are worth that is lost with these widths."""
        lost = [self.lost_with(branch, width) for branch, width in widths.items() if width < 1]
        whole = [self.lost_with(branch, 0.0) for branch in self.worth]
        return sum(max(0.0, one) for one in lost) / (sum(max(0.0, one) for one in whole) or 1.0)

    def lost_with(self, branch: int, width: float) -> float:
        """Return what is lost with a branch narrower, or gone at width 0, in the unit of `worth`.

        What measuring batch statistics anew changes is in both, and lost once, not with each.
        """
        narrower = self.narrower.get(branch, {})
        lost = narrower[width] if width in narrower else self.worth[branch]
        return lost - narrower.get(1.0, 0.0)
