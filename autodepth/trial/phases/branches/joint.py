"""Joint removal: the set of branches without which a network's outputs change least.

Sets are searched for once per parent (`policy/choosing/mask_search.py`) and judged by KL divergence
on validation images, without labels; what was judged answers policies of every goal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from autodepth.networks.gates.masked_runs import Mask
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.choosing.mask_search import Judge as JudgeMasks
from autodepth.policy.choosing.mask_search import best_masks, closest_few, search_masks
from autodepth.policy.choosing.variants import Bounds, Variant, choose_variants
from autodepth.policy.removal import Removal, floors, in_units, unit_of
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.branches.judging import Judge

Divergences = Mapping[Mask, float]
"""How far a network is from the whole, in nats, without each of some sets of its branches."""
JUDGED_IMAGES = 256
"""Validation images that sets are judged on, at most."""
GLANCED_IMAGES = JUDGED_IMAGES // 5
"""Those that most sets are only glanced at on."""
# Rounds of swaps: a small part of the search, which branches that go and come back decide.
_BRANCHES_PER_SWAP = 5
_SOLVED = 8  # shares of the branches' costs that sets to begin with are solved for


def judge_masks(context: TrialContext, network: ResidualNetwork, removal: Removal) -> Divergences:
    """Judge sets of the branches a network has: each branch alone, and what may go together.

    Args:
        context: images and seed.
        network: a trained network on its device.
        removal: which branches may be gone together, with those that are gone already.
    """
    costs = _costs(network)
    return search_masks(
        costs,
        _divergences(context, network, JUDGED_IMAGES, "judging sets of branches"),
        glance=_divergences(context, network, GLANCED_IMAGES, "glancing at sets of branches"),
        allowed=lambda mask: removal.allows(mask.union(network.removed)),
        starts=partial(solved_masks, network, removal),
        swaps=len(costs) // _BRANCHES_PER_SWAP,
        seed=context.seed_for("sets of branches"),
    )


def _divergences(
    context: TrialContext, network: ResidualNetwork, images: int, told: str
) -> JudgeMasks:
    judge = Judge(network, context.scoring_batches(images), context.task)
    return lambda masks: {mask: found.divergence for mask, found in judge(masks, told).items()}


def solved_masks(
    network: ResidualNetwork, removal: Removal, alone: Mapping[int, float]
) -> list[Mask]:
    """Return sets without which least is lost if losses add up, for shares of what branches cost.

    Args:
        network: a trained network.
        removal: what has to stay.
        alone: what is lost without each branch that may go, by number.
    """
    costs = _costs(network)
    may_go = costs.keys() - set(removal.policy.protected)
    variants = {
        branch.index: [
            Variant(width=1.0, lost=0.0, costs={"macs": costs.get(branch.index, 0.0)}),
            *([_gone(alone[branch.index])] if branch.index in may_go else ()),
        ]
        for branch, _ in network.kept()
    }
    stages = {branch.index: branch.stage for branch, _ in network.kept()}
    staying = floors(stages, removal.policy.least_per_stage)
    bounds = (step / _SOLVED * sum(costs.values()) for step in range(1, _SOLVED))
    solved = (choose_variants(variants, Bounds(most={"macs": b}, staying=staying)) for b in bounds)
    return [
        frozenset(branch for branch, variant in chosen.items() if not variant.width)
        for chosen in solved
        if chosen is not None
    ]


def _costs(network: ResidualNetwork) -> dict[int, float]:
    return {b.index: max(1.0, float(b.macs)) for b, _ in network.kept() if b.removable}


def _gone(lost: float) -> Variant:
    return Variant(width=0.0, lost=lost, costs={"macs": 0.0})


def worth_telling(judged: Divergences, network: ResidualNetwork) -> Divergences:
    """Return the sets by which others can tell what a policy of any goal removes, and how far."""
    return best_masks(judged, _costs(network))


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
    return may_be_removed(judged, removal, gone, 1)[0]


def may_be_removed(
    judged: Divergences, removal: Removal, gone: Sequence[int], count: int
) -> list[tuple[int, ...]]:
    """Return up to so many sets that may go by a policy's goal, the closest first.

    Args:
        judged: as of `jointly_removed`, as are the others.
        removal: likewise.
        gone: likewise.
        count: at least 1.
    """
    allowed = {m: far for m, far in judged.items() if removal.allows(m.union(gone))}
    allowed.setdefault(frozenset(), 0.0)

    if removal.policy.sensitivity_threshold is None:
        found = closest_few(allowed, lambda mask: removal.met(mask.union(gone)), count)
    else:
        single = of_single_branches(judged)
        below = len(removal.step(in_units(single, unit_of(single)), gone))
        found = closest_few(allowed, lambda mask: len(mask) >= below, count)
    return [tuple(sorted(mask)) for mask in found]
