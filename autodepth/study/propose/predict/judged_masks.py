"""Sets of branches that trials judged on their parents: what goes by a policy, and how far it is.

How far a network is from the whole without a set, before any fine-tuning, says much of what it
comes to (benchmarks/results/scores_and_tuning.md), and one judging answers every goal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from autodepth.networks.gates.masked_runs import Mask
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.policy import Policy
from autodepth.policy.settings import GOALS
from autodepth.trial.phases.branches.joint import Divergences, jointly_removed
from autodepth.trial.phases.pruning import removal_from


class JudgedMasks:
    """What is known of joint removal.

    Args:
        network: the whole network.
        parent: returns the content key of the parent a policy needs.
    """

    def __init__(self, network: ResidualNetwork, parent: Callable[[Policy], str]) -> None:
        self._network, self._parent = network, parent
        self._judged: dict[tuple[object, ...], Divergences] = {}
        self._masks: dict[tuple[object, ...], Mask] = {}  # of these, by goal: asked again and again

    def learn(self, policy: Policy, alone: Mapping[int, float], masks: Divergences) -> None:
        """Take in what a trial judged.

        Args:
            policy: that it carried out.
            alone: how far its parent is from the whole without each branch, in nats.
            masks: the same without sets of branches; empty where none were judged.
        """
        if masks and self._key(policy) not in self._judged:
            single = {frozenset({branch}): far for branch, far in alone.items()}
            self._judged[self._key(policy)] = {frozenset(): 0.0, **single, **masks}

    def mask(self, policy: Policy) -> Mask | None:
        """Return the set that a policy removes; None where it removes none, or it is not known."""
        policy = policy.carried_out
        if not policy.removes_jointly or policy.chooses_widths or policy.base is not None:
            return None
        key = self._key(policy)
        if key not in self._judged:
            return None
        goal = *key, *(getattr(policy, name) for name in GOALS), policy.threshold_per
        if goal not in self._masks:
            removal = removal_from(self._network, policy)
            self._masks[goal] = frozenset(jointly_removed(self._judged[key], removal, ()))
        return self._masks[goal]

    def divergence(self, policy: Policy) -> float | None:
        """Return how far a policy's network is from its parent before it is fine-tuned, in nats.

        None where that is not known.
        """
        mask = self.mask(policy)
        return None if mask is None else self._judged[self._key(policy.carried_out)][mask]

    def _key(self, policy: Policy) -> tuple[object, ...]:
        """Return by what sets are judged: the parent, and what has to stay of it."""
        policy = policy.carried_out
        return self._parent(policy), tuple(sorted(policy.protected)), policy.least_per_stage
