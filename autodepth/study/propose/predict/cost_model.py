"""What is known of a policy before it is carried out.

Parents are known by their content key, and so are the networks policies end with, as soon as the
parent's branches were scored: thresholds and scores say what goes. So policies that come to the
same network are recognised, and bounds on costs are checked without training anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.policy import Policy
from autodepth.policy.removal import branches_back, in_units, unit_of
from autodepth.policy.survival import survival_probabilities
from autodepth.space.objectives import Constraint
from autodepth.study.plan.estimate import rounds
from autodepth.study.propose.known.seen_networks import FinalNetwork
from autodepth.study.propose.predict.branch_costs import COSTS, BranchCosts
from autodepth.study.propose.predict.judged_masks import JudgedMasks
from autodepth.trial.cache.cache import content_key
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.branches.criteria import KNOWN_AHEAD, known_scores
from autodepth.trial.phases.branches.joint import Divergences
from autodepth.trial.phases.keys import fine_tuning_content, parent_content
from autodepth.trial.phases.pruning import grown, narrow_stream, removal_from

_AT_ONCE = {"one_shot", "joint", "joint_widths"}
_SCORING_WORK = 0.5  # about what scoring branches takes, in epochs of the whole network
# About what a trial takes however short its training is: building, pruning, measuring. Seconds, as
# multiply-accumulates that a device trains with meanwhile; not timed, so that decisions come again.
_FIXED_MACS, _MOST_FIXED_WORK = {"cpu": 5e9, "cuda": 2.5e11}, 10.0
# What a pass over the images takes, in shares of the whole network's time: products, numbers
# between layers (norms, activations), and each layer by itself. Chosen by hand near the 39, 55, 56,
# 104 and 194 s that ResNets of 3, 3, 3, 3 and 6 blocks took for 2, 5, 8, 17 and 37 % of the MACs
# (15 % off at most), and near 2.0, 3.1, 3.4, 5.3 and 4.7 s an epoch of 3, 3, 3, 6 and 9 blocks at
# 8, 17, 31, 37 and 14 % (12 %).
_PRODUCTS, _NUMBERS, _LAYERS = 0.35, 0.45, 0.20
_AROUND = 0.3  # about the share of a small network's MACs that lies in no branch
_TEACHING_WORK = 1 / 3  # of such an epoch: the parent sees every image, forwards only


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a network can cost: exact where `least` and `most` agree."""

    least: Mapping[str, float]
    most: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class CarriedOut:
    """A network that others can go on from.

    Args:
        trial: number of the trial that ended with it.
        removed: branches that it lacks.
        macs: multiply-accumulates per image.
        accuracy: on the validation split, a fraction.
    """

    trial: int
    removed: tuple[int, ...]
    macs: float
    accuracy: float


class CostModel:
    """Tells parents, ends and costs of policies apart.

    Args:
        network: the whole network, on the CPU.
        context: what all trials share.
        constraints: the study's bounds; those on MACs and parameters are checked ahead, and those
            on latencies where the setting has a table of it.
    """

    def __init__(
        self,
        network: ResidualNetwork,
        context: TrialContext,
        constraints: tuple[Constraint, ...] = (),
    ) -> None:
        self._network, self._context = network, context
        self._constraints = [c for c in constraints if c.metric in COSTS]
        self._latencies = [c for c in constraints if c.metric in context.latency_tables]
        self._parents: dict[object, str] = {}
        self._scores: dict[tuple[str, str], Mapping[int, float]] = {}
        self.masks = JudgedMasks(network, self.parent)
        pass_macs = len(context.data.train) * network.total_macs
        fixed = _FIXED_MACS.get(context.device.type, _FIXED_MACS["cuda"])
        self._fixed_work = min(_MOST_FIXED_WORK, fixed / pass_macs)
        self._known_widths: dict[tuple[object, ...], BranchCosts] = {}
        self._of_members: dict[tuple[Policy, tuple[int, ...]], dict[str, float]] = {}
        self._carried_out: dict[Policy, CarriedOut] = {}
        self._shares: dict[Policy, tuple[float, float]] = {}  # between two trials that end

    @property
    def whole_macs(self) -> int:
        """Multiply-accumulates of the whole network."""
        return self._network.total_macs

    def parent(self, policy: Policy) -> str:
        """Return the content key of the parent a policy needs."""
        policy = policy.carried_out
        if policy.base is not None:
            shaping: object = policy.base, policy.width_growth
        else:
            shaping = policy.parent_shaping
        if shaping not in self._parents:
            context = self._context.started_from(policy.chain[0].origin)
            content = parent_content(policy, context, self._network)
            self._parents[shaping] = content_key(**content)
        return self._parents[shaping]

    def carried_out(self, policy: Policy) -> CarriedOut:
        """Return what became of a policy that others go on from.

        Raises:
            KeyError: it was not carried out in this study.
        """
        return self._carried_out[policy]

    def note(self, policy: Policy, end: CarriedOut) -> None:
        """Take in what became of a policy."""
        self._carried_out[policy] = end
        self._shares.clear()

    def learn(
        self, policy: Policy, scores: Mapping[int, float], masks: Divergences | None = None
    ) -> None:
        """Take in what a policy's parent is without branches, and without sets of them.

        Args:
            policy: whose.
            scores: what each branch is worth, in the criterion's unit.
            masks: how far the parent's outputs change without sets, where such were judged.
        """
        self.masks.learn(policy, scores, masks or {})
        if scores and self._scores.get(self.scoring(policy)) != scores:
            self._scores[self.scoring(policy)] = scores
            self._shares.clear()

    def scored(self, policy: Policy) -> bool:
        """Return whether it is known what the branches of a policy's parent are worth."""
        known = self.scoring(policy)[1] in KNOWN_AHEAD
        return known or self.scoring(policy) in self._scores

    def scoring(self, policy: Policy) -> tuple[str, str]:
        """Return what is scored for a policy: its parent, by content key, and the criterion."""
        policy = policy.carried_out
        return self.parent(policy), "joint" if policy.removes_jointly else policy.criterion

    def removed(self, policy: Policy) -> tuple[int, ...] | None:
        """Return which branches a policy removes, in order; None where that is not known yet."""
        policy = policy.carried_out
        if policy.branches is not None:
            return policy.branches
        gone = self._gone_before(policy)
        if removal_from(self._network, policy).met(gone):
            return gone
        scores = self._scores.get(self.scoring(policy))
        if policy.criterion in KNOWN_AHEAD and not policy.removes_jointly:
            scores = known_scores(policy.criterion, self._network.branches)
        if scores is None or policy.removal != "one_shot":
            return None
        return self._removed_by(scores, policy)

    def _likely_removed(self, policy: Policy) -> tuple[int, ...] | None:
        """Return the same, where it is not known as if the parent were like one that was scored."""
        policy = policy.carried_out
        removed = self.removed(policy)
        if removed is None and (mask := self.masks.mask(policy)) is not None:
            return tuple(sorted(mask))
        if removed is not None or not self._scores or policy.removal not in _AT_ONCE:
            return removed
        by = self.scoring(policy)[1]
        _, likely = min(self._scores.items(), key=lambda item: item[0][1] != by)
        return self._removed_by(likely, policy)

    def _removed_by(self, scores: Mapping[int, float], policy: Policy) -> tuple[int, ...]:
        removal, gone = removal_from(self._network, policy), self._gone_before(policy)
        return (*gone, *removal.step(in_units(scores, unit_of(scores)), gone))

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
        if policy.quantise != "none":
            content |= {"quantise": policy.quantise}
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
        violations: dict[str, float] = {}
        of_tables = policy.stream_width == 1 and policy.base is None and policy.quantise == "none"
        if not self._latencies or not of_tables:
            return violations  # they know networks of whole streams, cut out of a parent, in floats
        for bound in self._latencies:
            removed = self.removed(policy)
            if removed is None:
                removed = self._most_that_may_go(policy) if bound.relation == "<=" else ()
            table = self._context.latency_tables[bound.metric]
            predicted = table.predict(removed, policy.filter_sparsity, dict(policy.widths))
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
        """Return about what share of the whole network's MACs a policy leaves, above 0."""
        return self._left(policy)[0]

    def tuning_pass(self, policy: Policy) -> float:
        """Return what a pass takes of the network that a policy ends with, see `training_work`."""
        return self.training_work(*self._left(policy))

    def _left(self, policy: Policy) -> tuple[float, float]:
        """Return about what share of the whole network's MACs, and of its branches, is left."""
        policy = policy.carried_out
        if policy not in self._shares:
            known = self._likely_removed(policy)
            gone = self._most_that_may_go(policy) if known is None else known
            halved = len(gone) / (1 if known is not None else 2)
            depth = 1 - halved / len(self._network.branches)
            self._shares[policy] = self._share_left(policy, gone, known is not None), depth
        return self._shares[policy]

    def _share_left(self, policy: Policy, gone: tuple[int, ...], known: bool) -> float:
        if policy.base is not None:
            return self._share_of_member(policy, len(gone))
        if policy.widths:
            return self._cost(gone, policy)["macs"] / self.whole_macs
        widths = self._widths(policy, sparsity=0.0)
        whole, least = widths.total["macs"], widths.without(gone)["macs"]
        left = least if known else (whole + least) / 2
        around = whole - math.fsum(widths.branches["macs"].values())
        # Two layers share a channel of a branch, so what is left of most branches is about that.
        left = around + (left - around) * (1 - policy.filter_sparsity)
        return left / self.whole_macs

    def _share_of_member(self, policy: Policy, gone: int) -> float:
        """Return about what is left where a network goes on from another, above 0."""
        assert policy.base is not None
        base, all_branches = self.carried_out(policy.base), len(self._network.branches)
        kept, before = all_branches - gone, max(1, all_branches - len(base.removed))
        depth = _AROUND + (1 - _AROUND) * kept / before
        width = policy.stream_width * (1 - policy.filter_sparsity) * policy.width_growth
        return base.macs / self.whole_macs * depth * width

    def training_work(self, share: float, depth: float = 1.0) -> float:
        """Return about what a pass over the training images takes, in passes of the whole network.

        Args:
            share: of the whole network's MACs that the network trained has.
            depth: share of its branches.
        """
        # MACs go by the square of the width, numbers between layers by the width itself.
        return _PRODUCTS * share + _NUMBERS * math.sqrt(share * depth) + _LAYERS * depth

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
        beside = policy.train.elastic if policy.is_elastic else 0.0  # the whole network
        return policy.train.epochs * (1 - skipped / self.whole_macs + beside)

    def tuning_work(self, policy: Policy) -> float:
        """Return about what a policy takes once its parent is there, in the same unit, above 0."""
        policy = policy.carried_out
        left, (_, steps) = self.share_left(policy), rounds(policy, len(self._network.branches))
        between = steps * policy.between_epochs  # of networks from the whole one to what is left
        taught = (policy.fine_tune_epochs + between) * _TEACHING_WORK * policy.has_teacher
        tuned, halfway = self.tuning_pass(policy), self.training_work((1 + left) / 2)
        scored = policy.scores_branches and policy.origin != "scratch"
        fixed = self._fixed_work + _SCORING_WORK * scored
        return policy.fine_tune_epochs * tuned + between * halfway + taught + fixed

    def work(self, policy: Policy, *, new_parent: bool) -> float:
        """Return about what a policy takes, in epochs of the whole network, above 0."""
        return self.tuning_work(policy) + (self.parent_work(policy) if new_parent else 0.0)

    def _most_that_may_go(self, policy: Policy) -> tuple[int, ...]:
        """Return removable branches whose removal saves at least what the policy can save."""
        gone = self._gone_before(policy)
        worth = {b.index: -float(b.macs) for b in self._network.branches if b.removable}
        count = len(worth) if policy.branches_removed is None else policy.branches_removed
        dearest = policy.removing(branches_removed=count)
        return (*gone, *removal_from(self._network, dearest).step(worth, gone))

    def _gone_before(self, policy: Policy) -> tuple[int, ...]:
        """Return which branches a policy's network lacks before any is removed."""
        if policy.base is None:
            return ()
        gone = self.carried_out(policy.base).removed
        back = branches_back(removal_from(self._network, policy), gone)
        return tuple(branch for branch in gone if branch not in back)

    def _widths(self, policy: Policy, sparsity: float | None = None) -> BranchCosts:
        """Return what the whole network costs at the widths of a policy that has no base.

        Filters are pruned by the policy's sparsity, or by the one given.
        """
        sparsity = policy.filter_sparsity if sparsity is None else sparsity
        narrow = (policy.origin, policy.stream_width) if policy.stream_width < 1 else ()
        key = (narrow, sparsity, policy.widths)
        if key not in self._known_widths:
            policy, network = replace(policy, filter_sparsity=sparsity), self._network
            if policy.stream_width < 1:
                network = narrow_stream(network, policy)
            if policy.narrows_branches:
                gone = policy.channels_gone(branch.index for branch in network.branches)
                network = prune_width(network, gone)
            self._known_widths[key] = BranchCosts.of(network)
        return self._known_widths[key]

    def _cost(self, removed: tuple[int, ...], policy: Policy) -> dict[str, float]:
        if policy.base is None:
            return self._widths(policy).without(removed)
        # Where networks go on from each other there is no table of widths: one is made.
        key = (policy, removed)
        if key not in self._of_members:
            network = self._made(policy, removed)
            self._of_members[key] = BranchCosts.of(network).without(())
        return self._of_members[key]

    def _made(self, policy: Policy, removed: tuple[int, ...]) -> ResidualNetwork:
        """Return an untrained network of the shape that a policy ends with."""
        policy = policy.carried_out
        network = self._network
        if policy.base is not None:
            base = self._made(policy.base, self.carried_out(policy.base).removed)
            network = grown(base, policy, self._network)
        network = network.without([b for b in removed if b not in network.removed])
        if policy.stream_width < 1:
            network = narrow_stream(network, policy)
        if policy.narrows_branches:
            gone = policy.channels_gone(branch.index for branch in network.branches)
            network = prune_width(network, gone)
        return network
