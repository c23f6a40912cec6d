"""Widths of branches that go together: each judged alone, then choices of them as they are.

What branches lose alone is judged once per parent. For a share of the MACs an integer program finds
what loses least in sum, and a search around it what changes the network's outputs least
(`policy/choosing/width_search.py`), all by KL divergence on validation images, without labels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from autodepth.networks.gates.masked_runs import Widths
from autodepth.networks.pruning.channels.narrowing import find_narrowing
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.copying import copied
from autodepth.policy.choosing.variants import Bounds, Variant, choose_variants
from autodepth.policy.choosing.width_search import search_widths
from autodepth.policy.removal import Removal, floors
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.branches.joint import JUDGED_IMAGES
from autodepth.trial.phases.branches.judging import Judge

Lost: TypeAlias = Mapping[int, Mapping[float, float]]
"""How far outputs change with each branch alone of another width, by number and width."""
WIDTHS = (0.75, 0.5, 0.25)
"""Shares of its inner channels that a branch is judged with, beside all and none."""
_ROUNDS = 4


class JointWidths:
    """Judges widths of a network's branches.

    Args:
        context: images and seed.
        network: a trained network on its device.
    """

    def __init__(self, context: TrialContext, network: ResidualNetwork) -> None:
        self._context, self._network = context, network
        narrowing = find_narrowing(network, copied(network.module).cpu())
        self._narrower = (
            {width: prune_width(network, 1 - width, narrowing) for width in WIDTHS}
            if narrowing.groups
            else {}
        )
        self._macs = self._costs()

    def alone(self) -> dict[int, dict[float, float]]:
        """Return how far outputs change with each branch alone of another width, or without it.

        The weakest channels of a branch go, as of `prune_width`. At width 1 stands what batch
        statistics change that are measured anew, which all others have in them too.
        """
        choices = [(b, w) for b, by_width in self._macs.items() for w in by_width if w < 1]
        judge = self._judge(JUDGED_IMAGES // 2)
        found = judge.with_widths([frozenset(), *(frozenset({one}) for one in choices)])
        lost: dict[int, dict[float, float]] = defaultdict(
            lambda: {1.0: found[frozenset()].divergence}
        )
        for branch, width in choices:
            lost[branch][width] = found[frozenset({(branch, width)})].divergence
        return dict(lost)

    def chosen(self, removal: Removal, lost: Lost, count: int = 1) -> list[dict[int, float]]:
        """Return widths of the branches that are not whole, 0 of those that go.

        Where the share of MACs is out of reach they come as near as they may.

        Args:
            removal: the rule of a policy with a share of the MACs.
            lost: as of `alone`.
            count: how many choices of them at most.

        Returns:
            At least one choice, the closest first.
        """
        variants, bounds = self.problem(removal, lost)
        judge = self._judge(JUDGED_IMAGES)

        def divergences(choices: Sequence[Widths]) -> dict[Widths, float]:
            found = judge.with_widths(choices, "judging widths together")
            return {choice: judged.divergence for choice, judged in found.items()}

        seed = self._context.seed_for("widths of branches")
        found = search_widths(variants, bounds, divergences, rounds=_ROUNDS, seed=seed)
        if not found:
            return [_cheapest(variants, Bounds(staying=bounds.staying))]
        return [dict(sorted(widths)) for widths in found[:count]]

    def problem(self, removal: Removal, lost: Lost) -> tuple[dict[int, list[Variant]], Bounds]:
        """Return what may become of each branch, and what has to be kept; as of `chosen`."""
        policy, network = removal.policy, self._network
        around = network.total_macs - sum(b.macs for b, _ in network.kept())
        stages = {branch.index: branch.stage for branch, _ in network.kept()}
        staying = floors(stages, policy.least_per_stage)
        most = {"macs": (policy.macs_target or 1.0) * network.total_macs - around}
        return self._variants(removal, lost), Bounds(most=most, staying=staying)

    def _costs(self) -> dict[int, dict[float, int]]:
        """Return what branches that may go cost at each width, where that is less than wider."""
        fitting = self._judge(1).narrow
        found = {b.index: {1.0: b.macs} for b, _ in self._network.kept() if b.removable}
        for width, narrow in sorted(self._narrower.items(), reverse=True):
            for branch, _ in narrow.kept():
                by_width = found.get(branch.index, {})
                fits = by_width and (branch.index, width) in fitting
                if fits and branch.macs < min(by_width.values()):
                    by_width[width] = branch.macs
        return {branch: {**by_width, 0.0: 0} for branch, by_width in found.items()}

    def _variants(self, removal: Removal, lost: Lost) -> dict[int, list[Variant]]:
        variants = {}
        for branch, _ in self._network.kept():
            costs: Mapping[float, int] = {1.0: branch.macs}
            if branch.index not in removal.policy.protected:
                costs = self._macs.get(branch.index, costs)
            alone = lost.get(branch.index, {})
            whole = alone.get(1.0, 0.0)
            variants[branch.index] = [
                Variant(width=w, lost=alone.get(w, whole) - whole, costs={"macs": float(macs)})
                for w, macs in costs.items()
            ]
        return variants

    def _judge(self, images: int) -> Judge:
        context = self._context
        batches = context.scoring_batches(images)
        return Judge(self._network, batches, context.task, self._narrower)


def _cheapest(variants: Mapping[int, Sequence[Variant]], bounds: Bounds) -> dict[int, float]:
    """Return the widths that cost least."""
    by_cost = {
        branch: [Variant(width=v.width, lost=v.costs["macs"], costs=v.costs) for v in found]
        for branch, found in variants.items()
    }
    chosen = choose_variants(by_cost, bounds) or {}
    return {branch: variant.width for branch, variant in chosen.items() if variant.width < 1}
