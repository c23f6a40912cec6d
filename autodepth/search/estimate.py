"""What a search can reach and what a trial will take, before anything is trained."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from autodepth.errors import InputError
from autodepth.networks.gates import GatedNetwork
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.policy import Policy
from autodepth.policy.survival import expected_branches, survival_probabilities
from autodepth.space.domains import Choice, Domain, Fixed, FloatRange, IntRange
from autodepth.space.objectives import Constraint
from autodepth.space.search_space import SearchSpace
from autodepth.space.values import Scalar
from autodepth.trial.device import autocast

# Enough arithmetic for a steady rate, little enough to be over in seconds on one core.
_PROBE_MACS = 2e9


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds one image takes in training (all branches computed) and in evaluation."""

    training: float
    evaluation: float


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Multiply-accumulates that removing branches can lead to."""

    least: int
    middle: int
    most: int


def reach(network: ResidualNetwork) -> Reach:
    """Return the fewest, middle and most MACs, one branch per stage staying at least."""
    least, most = _least(network, "macs"), network.total_macs
    return Reach(least=least, middle=(least + most) // 2, most=most)


def constraint_verdict(constraint: Constraint, network: ResidualNetwork) -> str:
    """Say whether a bound can be kept, as far as that is known before training.

    Raises:
        InputError: it is a bound on MACs or parameters that no removal can keep.
    """
    whole = {"macs": network.total_macs, "parameters": network.total_parameters}
    if constraint.metric not in whole:
        return "known only after training"
    most = whole[constraint.metric]
    least = _least(network, constraint.metric)
    bound = constraint.bound.of(most)
    if constraint.relation == "<=" and bound < least:
        raise InputError(
            f"constraint {str(constraint)!r} cannot hold: with one branch left per stage the "
            f"network still has {least:,} {constraint.metric}"
        )
    if constraint.relation == ">=" and bound > most:
        raise InputError(
            f"constraint {str(constraint)!r} cannot hold: the whole network has {most:,} "
            f"{constraint.metric}"
        )
    return "can be kept"


def _least(network: ResidualNetwork, metric: str) -> int:
    """Return the least of a cost with one branch per stage left: in each the cheapest."""
    least = int(getattr(network, f"total_{metric}"))
    for stage in range(1, network.num_stages + 1):
        branches = [b for b in network.branches if b.stage == stage]
        going = [int(getattr(b, metric)) for b in branches if b.removable]
        kept = min(going) if len(going) == len(branches) else 0
        least -= sum(going) - kept
    return least


def typical_policy(space: SearchSpace, network: ResidualNetwork) -> Policy:
    """Return the policy in the middle of a space: midpoints of ranges, first of choices."""
    point: dict[str, Scalar] = {}
    for dimension in space.dimensions_for(network.num_stages, len(network.branches)):
        if dimension.condition is None or dimension.condition.holds(point):
            point[dimension.name] = _middle(dimension.domain)
    return Policy.from_dict(space.policy_values(point))


def unpruned_policy(space: SearchSpace, network: ResidualNetwork) -> Policy:
    """Return the control: trained like the others, no random depth, nothing removed."""
    return replace(
        typical_policy(space, network),
        survival_prob_last=1.0,
        sensitivity_threshold=None,
        fine_tune_epochs=0,
    )


def measure_pace(network: ResidualNetwork, policy: Policy, device: torch.device) -> Pace:
    """Time a few steps on random images; the network's batch statistics move, its weights do not.

    Args:
        network: the network, on `device`.
        policy: whose batch size and precision are taken.
        device: where trials will run.
    """
    count = int(max(2, min(policy.train.batch_size, _PROBE_MACS / network.total_macs)))
    images = torch.randn(count, *network.input_shape, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(count, dtype=torch.int64, device=device)
    gated = GatedNetwork(network)

    def step() -> None:
        gated.train()
        with autocast(device, policy.train.precision):
            loss = F.cross_entropy(gated(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        network.module.zero_grad(set_to_none=True)

    def evaluation() -> None:
        gated.eval()
        with torch.inference_mode():
            gated(images)

    return Pace(
        training=_seconds(step, device) / count, evaluation=_seconds(evaluation, device) / count
    )


@dataclass(frozen=True, kw_only=True)
class TrialCost:
    """About what a typical trial takes.

    Args:
        policy: the typical policy.
        network: the untouched network.
        pace: seconds per image of the untouched network on one place.
        scoring_images: validation images each branch is scored on; None for all.
    """

    policy: Policy
    network: ResidualNetwork
    pace: Pace
    scoring_images: int | None

    def seconds(self, training_images: int, validation_images: int) -> float:
        """Return about how long a trial takes on one place, seconds."""
        branches = len(self.network.branches)
        epochs, tuning = self.policy.train.epochs, self.policy.fine_tune_epochs
        survival = survival_probabilities(
            self.policy.survival_prob_last,
            branches,
            self.policy.decay_shape,
            power=self.policy.decay_power,
        )
        share = expected_branches(survival) / branches
        pruned = reach(self.network).middle / self.network.total_macs
        scored = min(validation_images, self.scoring_images or validation_images)
        training = training_images * (epochs * share + tuning * pruned)
        evaluated = validation_images * (epochs + tuning + 3) + scored * (branches + 1)
        return self.pace.training * training + self.pace.evaluation * evaluated


def _seconds(call: Callable[[], None], device: torch.device) -> float:
    """Return the fastest of a few calls, after one to warm up."""
    call()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)


def _middle(domain: Domain) -> Scalar:
    match domain:
        case Fixed(value=value):
            return value
        case Choice(values=values):
            return values[0]
        case IntRange(low=low, high=high, log=log, step=step):
            middle = math.sqrt(low * high) if log else (low + high) / 2
            return low + round((middle - low) / step) * step
        case FloatRange(low=low, high=high, log=log, step=step):
            middle = math.sqrt(low * high) if log else (low + high) / 2
            return middle if step is None else low + round((middle - low) / step) * step
