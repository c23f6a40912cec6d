"""What is known of a policy before it is carried out.

Parents are known by their content key, and so are the networks policies end with, as soon as the
parent's branches were scored: thresholds and scores say what goes. So policies that come to the
same network are recognised, and bounds on costs are checked without training anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.policy import Policy
from autodepth.policy.removal import in_units, unit_of
from autodepth.policy.survival import survival_probabilities
from autodepth.space.objectives import Constraint
from autodepth.study.plan.estimate import rounds
from autodepth.study.propose.seen_networks import FinalNetwork
from autodepth.trial.cache.cache import content_key
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.criteria import evenly_spaced
from autodepth.trial.phases.keys import fine_tuning_content, parent_content
from autodepth.trial.phases.pruning import narrow_stream, removal_from

_COSTS = ("macs", "parameters")
_SCORING_WORK = 0.5  # about what pruning and measuring take, in epochs of the whole network
_TEACHING_WORK = 1 / 3  # of such an epoch: the parent sees every image, forwards only


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a network can cost: exact where `least` and `most` agree."""

    least: Mapping[str, float]
    most: Mapping[str, float]


class CostModel:
    """Tells parents, ends and costs of policies apart.

    Args:
        network: the whole network, on the CPU.
        context: what all trials share.
        constraints: the study's bounds; those on MACs and parameters are checked ahead, and that
            on latency where the setting has a table of it.
    """

    def __init__(
        self,
        network: ResidualNetwork,
        context: TrialContext,
        constraints: tuple[Constraint, ...] = (),
    ) -> None:
        self._network, self._context = network, context
        self._constraints = [c for c in constraints if c.metric in _COSTS]
        self._latencies = [c for c in constraints if c.metric == "latency_ms"]
        self._parents: dict[tuple[object, ...], str] = {}
        self._scores: dict[tuple[str, str], Mapping[int, float]] = {}
        self._costs: dict[tuple[object, ...], dict[str, float]] = {}
        self._streams: dict[tuple[str, float], ResidualNetwork] = {}

    @property
    def whole_macs(self) -> int:
        """Multiply-accumulates of the whole network."""
        return self._network.total_macs

    def parent(self, policy: Policy) -> str:
        """Return the content key of the parent a policy needs."""
        policy = policy.carried_out
        shaping = tuple(policy.shaping("parent").items())
        if shaping not in self._parents:
            context = self._context.started_from(policy.origin)
            content = parent_content(policy, context, self._network)
            self._parents[shaping] = content_key(**content)
        return self._parents[shaping]

    def learn(self, policy: Policy, scores: Mapping[int, float]) -> None:
        """Take in what the branches of a policy's parent are worth, in the criterion's unit."""
        if scores:
            self._scores[self.scoring(policy)] = scores

    def scored(self, policy: Policy) -> bool:
        """Return whether it is known what the branches of a policy's parent are worth."""
        known = policy.carried_out.criterion == "evenly_spaced"
        return known or self.scoring(policy) in self._scores

    def scoring(self, policy: Policy) -> tuple[str, str]:
        """Return what is scored for a policy: its parent, by content key, and the criterion."""
        return self.parent(policy), policy.carried_out.criterion

    def removed(self, policy: Policy) -> tuple[int, ...] | None:
        """Return which branches a policy removes, in order; None where that is not known yet."""
        policy = policy.carried_out
        if not policy.scores_branches:
            return policy.branches or ()
        scores = self._scores.get(self.scoring(policy))
        if policy.criterion == "evenly_spaced":  # no training is needed to know
            scores = evenly_spaced([b.index for b in self._network.branches if b.removable])
        if scores is None or policy.removal != "one_shot":
            return None
        return self._removed_by(scores, policy)

    def _likely_removed(self, policy: Policy) -> tuple[int, ...] | None:
        """Return the same, where it is not known as if the parent were like one that was scored."""
        policy = policy.carried_out
        removed = self.removed(policy)
        if removed is not None or not self._scores or policy.removal != "one_shot":
            return removed
        _, likely = min(self._scores.items(), key=lambda item: item[0][1] != policy.criterion)
        return self._removed_by(likely, policy)

    def _removed_by(self, scores: Mapping[int, float], policy: Policy) -> tuple[int, ...]:
        removal = removal_from(self._network, policy)
        return removal.step(in_units(scores, unit_of(scores)), ())

    def end(self, policy: Policy) -> FinalNetwork | None:
        """Return the network a policy ends with; None where it is not known.

        Where branches are scored anew after each removal, what goes is known only afterwards. But
        equal rules remove the same branches of the same parent, so there the rule names it.
        """
        policy = policy.carried_out
        removed = self.removed(policy)
        if removed is not None:
            rule: dict[str, Any] = {}
        elif policy.removal != "one_shot":
            removed, rule = (), policy.shaping("branches")
        else:
            return None
        content = fine_tuning_content(policy, removed) | {"stage": "end", "epochs": None}
        network = content_key(**content, rule=rule, parent=self.parent(policy))
        return FinalNetwork(network=network, epochs=policy.fine_tune_epochs)

    def broken(self, policy: Policy) -> dict[str, float]:
        """Return the bounds that a policy breaks for certain, and by what share of the bound."""
        violations = self._too_slow(policy)
        if not self._constraints:
            return violations
        costs = self.costs(policy)
        for constraint in self._constraints:
            whole = float(getattr(self._network, f"total_{constraint.metric}"))
            kindest = costs.least if constraint.relation == "<=" else costs.most
            excess = constraint.excess(kindest[constraint.metric], whole)
            if excess > 0:
                violations[str(constraint)] = excess
        return violations

    def _too_slow(self, policy: Policy) -> dict[str, float]:
        """Return the bounds on latency that a policy breaks for certain, as predicted."""
        policy = policy.carried_out
        table = self._context.latency_table
        violations: dict[str, float] = {}
        if table is None or policy.stream_width < 1:  # it knows whole streams
            return violations
        for bound in self._latencies:
            removed = self.removed(policy)
            if removed is None:
                removed = self._most_that_may_go(policy) if bound.relation == "<=" else ()
            predicted = table.predict(removed, policy.filter_sparsity)
            if excess := table.breaks(bound, predicted):
                violations[str(bound)] = excess
        return violations

    def costs(self, policy: Policy) -> Costs:
        """Return between which costs the network lies that a policy ends with."""
        policy = policy.carried_out
        removed = self.removed(policy)
        if removed is not None:
            exact = self._cost(removed, policy)
            return Costs(least=exact, most=exact)
        return Costs(
            least=self._cost(self._most_that_may_go(policy), policy),
            most=self._cost((), policy),
        )

    def share_left(self, policy: Policy) -> float:
        """Return about what share of the whole network's MACs a policy leaves, in (0, 1]."""
        policy = policy.carried_out
        removed = self._likely_removed(policy)
        gone = self._most_that_may_go(policy) if removed is None else removed
        network = self._at_width(policy)
        all_of_them = sum(b.macs for b in network.branches if b.index in gone)
        saved = all_of_them * (1.0 if removed is not None else 0.5)
        return (network.total_macs - saved) / self.whole_macs * (1 - policy.filter_sparsity)

    def parent_work(self, policy: Policy) -> float:
        """Return about what training a policy's parent takes, in epochs of the whole network."""
        policy = policy.carried_out
        branches = self._network.branches
        survival = policy.survival or survival_probabilities(
            policy.survival_prob_last,
            len(branches),
            policy.decay_shape,
            power=policy.decay_power,
            stages=[branch.stage for branch in branches],
        )
        skipped = sum(b.macs * (1 - p) for b, p in zip(branches, survival, strict=True))
        return policy.train.epochs * (1 - skipped / self.whole_macs)

    def tuning_work(self, policy: Policy) -> float:
        """Return about what a policy takes once its parent is there, in the same unit, above 0."""
        policy = policy.carried_out
        left, (_, steps) = self.share_left(policy), rounds(policy, len(self._network.branches))
        between = steps * policy.between_epochs  # of networks from the whole one to what is left
        taught = (policy.fine_tune_epochs + between) * _TEACHING_WORK * bool(policy.distillation)
        return policy.fine_tune_epochs * left + between * (1 + left) / 2 + taught + _SCORING_WORK

    def work(self, policy: Policy, *, new_parent: bool) -> float:
        """Return about what a policy takes, in epochs of the whole network, above 0."""
        return self.tuning_work(policy) + (self.parent_work(policy) if new_parent else 0.0)

    def _most_that_may_go(self, policy: Policy) -> tuple[int, ...]:
        """Return removable branches whose removal saves at least what the policy can save."""
        worth = {b.index: -float(b.macs) for b in self._network.branches if b.removable}
        count = len(worth) if policy.branches_removed is None else policy.branches_removed
        dearest = policy.removing(branches_removed=count)
        return removal_from(self._network, dearest).step(worth, ())

    def _at_width(self, policy: Policy) -> ResidualNetwork:
        """Return the whole network at the width of a policy's stream; each is made once."""
        if policy.stream_width == 1:
            return self._network
        key = (policy.origin, policy.stream_width)
        if key not in self._streams:
            self._streams[key] = narrow_stream(self._network, policy)
        return self._streams[key]

    def _cost(self, removed: tuple[int, ...], policy: Policy) -> dict[str, float]:
        narrow = (policy.origin, policy.stream_width) if policy.stream_width < 1 else ()
        key = (tuple(sorted(removed)), narrow, policy.filter_sparsity)
        if key not in self._costs:
            network = self._at_width(policy).without(removed)
            if policy.filter_sparsity:
                network = prune_width(network, policy.filter_sparsity)
            self._costs[key] = {name: float(getattr(network, f"total_{name}")) for name in _COSTS}
        return self._costs[key]
