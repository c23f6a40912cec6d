"""From a trained parent to a smaller network: branches, then filters, then single weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from autodepth.networks.pruning.channels.narrowing import Narrowing, find_narrowing
from autodepth.networks.pruning.growing import widen_branches, with_branches_back
from autodepth.networks.pruning.magnitude import (
    Masks,
    apply_masks,
    magnitude_masks,
    reached_by_masks,
)
from autodepth.networks.pruning.stream_width import with_stream_width
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.copying import copied
from autodepth.networks.running.layout import for_convolutions
from autodepth.policy.policy import Policy
from autodepth.policy.removal import Removal, branches_back, in_units, unit_of
from autodepth.trial.phases.branches.finalists import Choice

Score = Callable[[ResidualNetwork], Mapping[int, float]]
"""What each removable branch of a network is worth, in the criterion's unit."""
Change = Callable[[ResidualNetwork], None]
"""Something done to a network in place."""


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """A pruned network.

    Args:
        network: the network, in evaluation mode.
        masks: which single weights stay; empty where none were pruned.
        order: numbers of the branches that went, in the order in which they did.
        reached: by setting, what sparsity acted on and how much there was, as of `TrialResult`.
        widths: share of channels of the branches that were made narrower by choice, not by setting.
    """

    network: ResidualNetwork
    masks: Masks
    order: tuple[int, ...]
    reached: Mapping[str, tuple[int, int]]
    widths: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Means:
    """What pruning has done by others, who know of images.

    Args:
        score: scores a smaller network anew.
        choose: tells which branches go together, and what widths others have left.
        recalibrate: measures batch statistics anew, after each step.
        fine_tune_between: what `iterative` removal does after each step instead.
        reconstruct: fits a smaller network to the parent's features; tells for how many of its
            branches that could be done.
    """

    score: Score
    choose: Callable[[], Choice]
    recalibrate: Change
    fine_tune_between: Change
    reconstruct: Callable[[ResidualNetwork], int]


def prune(
    parent: ResidualNetwork, policy: Policy, scores: Mapping[int, float], means: Means
) -> Pruned:
    """Return a smaller network; the parent stays as it is.

    Args:
        parent: a trained network.
        policy: what goes, and how.
        scores: what each removable branch of the parent is worth, in the criterion's unit.
        means: of doing so.
    """
    if policy.removes_jointly and not removal_from(parent, policy).met(parent.removed):
        return prune_to(parent, policy, means.choose(), means)
    network, order = _without_branches(parent, policy, scores, means)
    return _narrowed(parent, policy, means, network=network, order=order, widths={})


def prune_to(parent: ResidualNetwork, policy: Policy, choice: Choice, means: Means) -> Pruned:
    """Return the network that a choice leaves; all else is as of `prune`.

    Args:
        parent: likewise.
        policy: likewise; what its goal is makes no difference.
        choice: widths of the branches that are not whole, 0 of those that go.
        means: likewise.
    """
    going = tuple(branch for branch, width in choice.items() if not width)
    widths = {branch: width for branch, width in choice.items() if width}
    network = parent.without(going)
    if going and not widths:
        means.recalibrate(network)
    order = (*parent.removed, *going)
    return _narrowed(parent, policy, means, network=network, order=order, widths=widths)


def _narrowed(
    parent: ResidualNetwork,
    policy: Policy,
    means: Means,
    *,
    network: ResidualNetwork,
    order: tuple[int, ...],
    widths: Mapping[int, float],
) -> Pruned:
    """Return a network narrower as the policy says, recovered, without single weights.

    Args:
        parent: what it was cut out of.
        policy: as of `prune`.
        means: likewise.
        network: without branches that are gone; it may be changed in place.
        order: numbers of these.
        widths: share of channels left to branches that were chosen to be narrower.
    """
    recalibrate = means.recalibrate
    reached: dict[str, tuple[int, int]] = {}
    if policy.stream_width < 1:
        network = narrow_stream(network, policy)
    gone = policy.channels_gone(branch.index for branch in network.branches)
    gone |= {branch: 1 - width for branch, width in widths.items()}
    if any(gone.values()):
        narrowing = find_narrowing(network, copied(network.module).cpu())
        reached |= _reached(narrowing, network, policy)
        network = prune_width(network, gone, narrowing)
        for_convolutions(network.module)
    narrower = policy.stream_width < 1 or any(gone.values())
    if narrower:
        recalibrate(network)
    cut = narrower or len(order) > len(parent.removed)
    if policy.recovery == "reconstruct" and policy.stream_width == 1 and cut:
        reached["recovery"] = (means.reconstruct(network), len(network.kept()))
    masks: Masks = {}
    if policy.weight_sparsity:
        masks = magnitude_masks(network, policy.weight_sparsity)
        reached["weight_sparsity"] = reached_by_masks(network, masks)
        apply_masks(network, masks)
    if masks:
        recalibrate(network)
    network.module.eval()
    return Pruned(network=network, masks=masks, order=order, reached=reached, widths=widths)


def _reached(
    narrowing: Narrowing, network: ResidualNetwork, policy: Policy
) -> dict[str, tuple[int, int]]:
    """Return of how many branches channels could go, of those that had to lose some."""
    reached = {"filter_sparsity": narrowing.reached} if policy.filter_sparsity else {}
    kept = {branch.index for branch, _ in network.kept()}
    if named := [b for b, width in policy.widths if width < 1 and b in kept]:
        reached["widths"] = (sum(b not in narrowing.left_alone for b in named), len(named))
    return reached


def narrow_stream(network: ResidualNetwork, policy: Policy) -> ResidualNetwork:
    """Return a network whose residual stream has the share of channels that a policy leaves.

    Of a trained network the strongest stay. One from scratch is initialised at its width, inside
    its branches too.

    Raises:
        NetworkError: the stream of a stage has to stay as wide as it is.
    """
    share = policy.stream_width
    if policy.origin == "scratch":
        narrow = with_stream_width(network, share, choose="first", fresh=True)
        narrow = prune_width(narrow, 1 - share, fresh=True)
    else:
        narrow = with_stream_width(network, share, choose="magnitude")
    for_convolutions(narrow.module)
    return narrow


def grown(network: ResidualNetwork, policy: Policy, whole: ResidualNetwork) -> ResidualNetwork:
    """Return the network that a member goes on from, with what it gets back or anew.

    Args:
        network: the final network of the policy's base.
        policy: how many branches may be gone, and how much wider branches become.
        whole: the untrained whole network, on the CPU.

    Raises:
        NetworkError: a branch cannot be put back with the same function.
    """
    if coming := branches_back(removal_from(whole, policy), network.removed):
        network = with_branches_back(network, whole, coming)
    if policy.width_growth > 1:
        network = widen_branches(network, policy.width_growth)
    for_convolutions(network.module)
    return network


def removal_from(network: ResidualNetwork, policy: Policy) -> Removal:
    """Return the rule by which a policy's branches go from a whole network.

    Raises:
        InputError: the policy does not fit the network.
    """
    return Removal(
        policy=policy,
        stages={branch.index: branch.stage for branch in network.branches},
        macs={branch.index: branch.macs for branch in network.branches},
        total_macs=network.total_macs,
    )


def _without_branches(
    parent: ResidualNetwork,
    policy: Policy,
    scores: Mapping[int, float],
    means: Means,
) -> tuple[ResidualNetwork, tuple[int, ...]]:
    """Return a copy without the branches that go, and these in order.

    The unit of thresholds stays that of the first scoring, however few branches are left.
    """
    removal = removal_from(parent, policy)
    at_once = policy.removal in {"one_shot", "joint", "joint_widths"}
    after_step = means.fine_tune_between if policy.removal == "iterative" else means.recalibrate
    unit, most = unit_of(scores), None if at_once else policy.removal_step
    network, order = parent, parent.removed
    while going := removal.step(in_units(scores, unit), order, most):
        network, order = network.without(going), (*order, *going)
        after_step(network)
        if at_once:
            break
        if policy.scores_branches:
            scores = means.score(network)
    return (parent.without(()) if network is parent else network), order
