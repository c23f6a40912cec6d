"""Joint removal: the set of branches without which a network's outputs change least.

Sets are searched for once per parent (`policy/choosing/mask_search.py`) and judged by KL divergence
on validation images, without labels; what was judged answers policies of every goal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autodepth.networks.gates.masked_runs import Mask
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.choosing.mask_search import closest, search_masks
from autodepth.policy.removal import Removal, in_units, unit_of
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.branches.judging import Judge

Divergences = Mapping[Mask, float]
"""How far a network is from the whole, in nats, without each of some sets of its branches."""
JUDGED_IMAGES = 256
"""Validation images that sets are judged on, at most."""
# Rounds of swaps: a small part of the search, which the chain of removals decides.
_BRANCHES_PER_SWAP = 5


def judge_masks(context: TrialContext, network: ResidualNetwork, removal: Removal) -> Divergences:
    """Judge sets of the branches a network has: each branch alone, and what may go together.

    Args:
        context: images and seed.
        network: a trained network on its device.
        removal: which branches may be gone together, with those that are gone already.
    """
    judge = Judge(network, context.scoring_batches(JUDGED_IMAGES), context.task)
    costs = {b.index: max(1.0, float(b.macs)) for b, _ in network.kept() if b.removable}

    def divergences(masks: Sequence[Mask]) -> dict[Mask, float]:
        found = judge(masks, "judging sets of branches")
        return {mask: judged.divergence for mask, judged in found.items()}

    return search_masks(
        costs,
        divergences,
        allowed=lambda mask: removal.allows(mask.union(network.removed)),
        swaps=len(costs) // _BRANCHES_PER_SWAP,
        seed=context.seed_for("sets of branches"),
    )


def of_single_branches(judged: Divergences) -> dict[int, float]:
    """Return how far the network is from the whole without each branch alone, by number."""
    return {branch: judged[mask] for mask in judged if len(mask) == 1 for branch in mask}


def jointly_removed(judged: Divergences, removal: Removal, gone: Sequence[int]) -> tuple[int, ...]:
    """Return which branches go by a policy's goal, those that are gone apart.

    A threshold says how many: as many as lie below it alone.

    Args:
        judged: by `judge_masks`.
        removal: the rule of the policy.
        gone: numbers of branches that are gone already.
    """
    allowed = {m: far for m, far in judged.items() if removal.allows(m.union(gone))}
    allowed.setdefault(frozenset(), 0.0)
    if removal.policy.sensitivity_threshold is None:
        return tuple(sorted(closest(allowed, lambda mask: removal.met(mask.union(gone)))))
    single = of_single_branches(judged)
    count = len(removal.step(in_units(single, unit_of(single)), gone))
    return tuple(sorted(closest(allowed, lambda mask: len(mask) >= count)))
