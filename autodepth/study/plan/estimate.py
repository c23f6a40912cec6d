"""What a search can reach and what a trial will take, before anything is trained."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from autodepth.errors import InputError
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.layout import laid_out
from autodepth.policy.choosing.mask_search import CANDIDATES
from autodepth.policy.policy import Policy
from autodepth.policy.settings import ORIGINS, Origin
from autodepth.policy.survival import expected_branches, survival_probabilities
from autodepth.policy.values import Scalar
from autodepth.space.domains import Choice, Dimension, Fixed, FloatRange, IntRange
from autodepth.space.objectives import Constraint
from autodepth.space.search_space import SearchSpace
from autodepth.trial.device.device import autocast
from autodepth.trial.device.latency_table import LatencyTable
from autodepth.trial.device.threads import undisturbed_seconds
from autodepth.trial.phases.branches.finalists import (
    FINALISTS,
    is_mended_by_fitting,
    quickly_recovered,
)
from autodepth.trial.phases.branches.joint import JUDGED_IMAGES
from autodepth.trial.phases.pruning import narrow_stream

# That joint removal judges, about; it glances at others on a fifth of the images.
_SETS_PER_BRANCH = 2.5 + CANDIDATES * 3 / 5
# Of the whole network, that fitting features to an image takes the time of: one through either
# network, the rest for moments and for what was computed anew (ResNet-56 on a CPU: 3.5 to 4.5).
_FITTING_PASSES = 4
# Enough arithmetic for a steady rate, little enough to be over in seconds on one core.
_PROBE_MACS = 2e9


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """Seconds one image takes in training (all branches computed) and in evaluation."""

    training: float
    evaluation: float


@dataclass(frozen=True, kw_only=True)
class MacsRange:
    """Multiply-accumulates that pruning can lead to."""

    least: int
    middle: int
    most: int


def macs_range(network: ResidualNetwork, space: SearchSpace) -> MacsRange:
    """Return the fewest, middle and most MACs, one branch per stage staying at least."""
    least, most = _least(network, space, "macs"), network.total_macs
    return MacsRange(least=least, middle=(least + most) // 2, most=most)


def constraint_verdict(
    constraint: Constraint,
    network: ResidualNetwork,
    space: SearchSpace,
    table: LatencyTable | None = None,
) -> str:
    """Say whether a bound can be kept, as far as that is known before training.

    Args:
        constraint: the bound.
        network: the whole network.
        space: what is searched.
        table: of the latency that it bounds, where that was measured.

    Raises:
        InputError: it is a bound on MACs, parameters or latency that no pruning can keep.
    """
    if table is not None:
        return _latency_verdict(constraint, network, space, table)
    whole = {"macs": network.total_macs, "parameters": network.total_parameters}
    if constraint.metric not in whole:
        return "known only after training"
    most = whole[constraint.metric]
    least = _least(network, space, constraint.metric)
    bound = constraint.bound.of(most)
    if constraint.relation == "<=" and bound < least:
        raise InputError(
            f"constraint {str(constraint)!r} cannot hold: with as few branches as the space allows"
            f"{', as narrow as the space allows,' if _most_filters(space) else ''} the "
            f"network still has {least:,} {constraint.metric}"
        )
    if constraint.relation == ">=" and bound > most:
        raise InputError(
            f"constraint {str(constraint)!r} cannot hold: the whole network has {most:,} "
            f"{constraint.metric}"
        )
    return "can be kept"


def _latency_verdict(
    bound: Constraint, network: ResidualNetwork, space: SearchSpace, table: LatencyTable
) -> str:
    least = table.predict(_most_that_goes(network, space, "macs"), _most_filters(space))
    if table.breaks(bound, least if bound.relation == "<=" else table.whole_ms):
        raise InputError(
            f"constraint {str(bound)!r} cannot hold: networks of this space take "
            f"{least:.3g} to {table.whole_ms:.3g} ms on {table.device}, as branches were measured"
        )
    return f"{least:.3g} to {table.whole_ms:.3g} ms by a table of branches, on {table.device}"


def _least(network: ResidualNetwork, space: SearchSpace, metric: str) -> int:
    """Return the least of a cost: per stage the cheapest branch, as narrow as the space allows."""
    smallest = network.without(_most_that_goes(network, space, metric))
    if (width := _extreme(space, "stream_width", 1.0, min)) < 1:
        policy = Policy(origin=_smallest_origin(space), stream_width=width)
        smallest = narrow_stream(smallest, policy)
    if share := _most_filters(space):
        smallest = prune_width(smallest, share)
    return int(getattr(smallest, f"total_{metric}"))


def _smallest_origin(space: SearchSpace) -> Origin:
    """Return the origin of the narrowest networks: from scratch, branches are narrower too."""
    domain = next((d.domain for d in space.dimensions if d.name == "origin"), Fixed("parent"))
    return "scratch" if domain.contains("scratch") else "parent"


def _most_that_goes(network: ResidualNetwork, space: SearchSpace, metric: str) -> set[int]:
    """Return the branches that go where the cheapest of each stage stay, and the protected ones."""
    if space.branches is not None:
        return set(space.branches)
    going: set[int] = set()
    for stage in range(1, network.num_stages + 1):
        branches = [b for b in network.branches if b.stage == stage]
        free = [b for b in branches if b.removable and b.index not in space.network.protect]
        removable = {b.index: int(getattr(b, metric)) for b in free}
        fixed = len(branches) - len(removable)
        staying = max(0, int(_extreme(space, "least_per_stage", 1, min)) - fixed)
        going.update(sorted(removable, key=removable.__getitem__)[staying:])
    return going


def _most_filters(space: SearchSpace) -> float:
    """Return the greatest filter sparsity of a space."""
    return _extreme(space, "filter_sparsity", 0.0, max)


def _extreme(
    space: SearchSpace, name: str, default: float, choose: Callable[[Iterable[float]], float]
) -> float:
    """Return the least or the greatest value that a space has of a setting."""
    domain = next((d.domain for d in space.dimensions if d.name == name), Fixed(default))
    match domain:
        case Fixed(value=value):
            return float(value or 0)
        case Choice(values=values):
            return choose(float(value or 0) for value in values)
        case FloatRange(low=low, high=high) | IntRange(low=low, high=high):
            return choose([float(low), float(high)])


def typical_policy(space: SearchSpace, network: ResidualNetwork) -> Policy:
    """Return the policy in the middle of a space: midpoints of ranges, first of choices."""
    point: dict[str, Scalar] = {}
    for dimension in space.dimensions_for(network.num_stages, len(network.branches)):
        if dimension.counts_at(point):
            point[dimension.name] = _middle(dimension)
    return Policy.from_dict(space.policy_values(point))


def unpruned_policy(space: SearchSpace, network: ResidualNetwork) -> Policy:
    """Return the control: trained like the others, no random depth, nothing removed."""
    return replace(
        typical_policy(space, network).removing(),
        origin="parent",
        stream_width=1.0,
        survival_prob_last=1.0,
        survival=None,
        filter_sparsity=0.0,
        weight_sparsity=0.0,
        fine_tune_epochs=0,
    )


def measure_step_time(network: ResidualNetwork, policy: Policy, device: torch.device) -> StepTime:
    """Time a few steps on random images; the network's batch statistics move, its weights do not.

    Args:
        network: the network, on `device`.
        policy: whose batch size and precision are taken.
        device: where trials will run.
    """
    count = int(max(2, min(policy.train.batch_size, _PROBE_MACS / network.total_macs)))
    images = torch.randn(count, *network.input_shape, device=device)
    images = laid_out(images)
    gated = GatedNetwork(network)

    def step() -> None:
        gated.train()
        with autocast(device, policy.train.precision):
            loss = _some_loss(gated(images))
        loss.backward()  # type: ignore[no-untyped-call]
        network.module.zero_grad(set_to_none=True)

    def evaluation() -> None:
        gated.eval()
        with torch.inference_mode():
            gated(images)

    return StepTime(
        training=_seconds(step, device) / count, evaluation=_seconds(evaluation, device) / count
    )


def _some_loss(outputs: Any) -> Tensor:
    """Return a number that depends on all outputs, whatever they are in."""
    if isinstance(outputs, Tensor):
        return outputs.float().square().mean()
    parts = outputs.values() if isinstance(outputs, Mapping) else outputs
    return torch.stack([_some_loss(part) for part in parts]).sum()


@dataclass(frozen=True, kw_only=True)
class TrialCost:
    """About what a typical trial takes.

    Args:
        policy: the typical policy.
        network: the untouched network.
        macs_range: what pruning can make of it.
        step_time: seconds per image of the untouched network on one place.
        scoring_images: validation images each branch is scored on; None for all.
    """

    policy: Policy
    network: ResidualNetwork
    macs_range: MacsRange
    step_time: StepTime
    scoring_images: int | None

    def seconds(self, training_images: int, validation_images: int) -> float:
        """Return about how long a trial takes on one place, seconds."""
        policy, branches = self.policy, len(self.network.branches)
        survival = survival_probabilities(
            policy.survival_prob_last,
            branches,
            policy.decay_shape,
            power=policy.decay_power,
            stages=[branch.stage for branch in self.network.branches],
        )
        share = expected_branches(survival) / branches
        share += policy.train.elastic if policy.is_elastic else 0.0  # the whole network beside it
        pruned = self.macs_range.middle / self.macs_range.most
        scorings, between = rounds(policy, branches)
        tuning = policy.fine_tune_epochs + between * policy.between_epochs
        training = training_images * (policy.train.epochs * share + tuning * pruned)
        epochs = policy.train.epochs + tuning
        taught = training_images * tuning if policy.has_teacher else 0
        if not policy.train.epochs and not between:
            scorings -= min(scorings, 1)  # all trials have one parent, which the first one scores
        scored = min(validation_images, self.scoring_images or validation_images)
        passes = 1 + branches / 2 if policy.criterion.startswith("ablation") else 1
        if policy.removes_jointly:
            scored, passes = min(scored, JUDGED_IMAGES), 1 + _SETS_PER_BRANCH * branches / 2
        recovered = _FITTING_PASSES * _images_recovered_with(policy)
        evaluated = validation_images * (epochs + 3) + taught + scored * passes * scorings
        evaluated += recovered
        return self.step_time.training * training + self.step_time.evaluation * evaluated


def _images_recovered_with(policy: Policy) -> int:
    """Return how many images features are fitted to, those of every finalist counted."""
    if not is_mended_by_fitting(policy):
        return 0
    finalists = FINALISTS * quickly_recovered(policy).recalibration_batches
    batches = policy.recalibration_batches + (finalists if policy.removes_jointly else 0)
    return batches * policy.train.batch_size


def rounds(policy: Policy, branches: int) -> tuple[float, float]:
    """Return about how often a policy scores branches, and how often it fine-tunes in between.

    Args:
        policy: what to do.
        branches: of the whole network.
    """
    if policy.removal in {"one_shot", "joint", "joint_widths"} or not policy.removes_branches:
        return float(policy.scores_branches), 0.0
    count = policy.branches_removed if policy.branches is None else len(policy.branches)
    steps = (branches / 2 if count is None else count) / policy.removal_step
    scorings = steps + 1 if policy.scores_branches else 0.0
    return scorings, steps if policy.removal == "iterative" else 0.0


def _seconds(call: Callable[[], None], device: torch.device) -> float:
    """Return about how many seconds a call takes where nothing else uses the device."""
    if device.type == "cpu":
        return undisturbed_seconds(call)
    call()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)


def _middle(dimension: Dimension) -> Scalar:
    match domain := dimension.domain:
        case Fixed(value=value):
            return value
        case Choice(values=values) if dimension.name == "origin":
            return min(values, key=ORIGINS.index)  # a member goes on from one of the others
        case Choice(values=values):
            return values[0]
        case IntRange(low=low, high=high, log=log) | FloatRange(low=low, high=high, log=log):
            return domain.snap(math.sqrt(low * high) if log else (low + high) / 2)
