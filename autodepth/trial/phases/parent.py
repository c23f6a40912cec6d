"""The parent: the whole network, trained with stochastic depth."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from autodepth.errors import InputError
from autodepth.networks.catalogue import build_network
from autodepth.networks.catalogue.own_builder import is_own
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.gates.training_head import with_training_head
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.layout import for_convolutions
from autodepth.networks.weights.last_layer import begin_at, last_linear
from autodepth.policy.depth_schedule import survival_at
from autodepth.policy.policy import Policy
from autodepth.policy.survival import by_sensitivity, survival_probabilities
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.branches.criteria import branch_scores
from autodepth.trial.training.checkpoints import Checkpoints
from autodepth.trial.training.config import Epoch, TrainingConfig
from autodepth.trial.training.loop import train

# Share of training after which the `sensitivity` shape deals probabilities out by what it measures.
_MEASURE_AT = 0.5


@dataclass(frozen=True, kw_only=True)
class Parent:
    """A trained network, survival probabilities folded in, and p_1..p_L at their lowest."""

    network: ResidualNetwork
    survival: tuple[float, ...]


def untrained_network(context: TrialContext) -> ResidualNetwork:
    """Return the whole network with its initial weights, on its device."""
    network = begun(_initialised(context), context)
    if (head := context.training_head()) is not None:
        network = with_training_head(network, head)
    network.module.to(context.device)
    for_convolutions(network.module)
    return network


def _initialised(context: TrialContext) -> ResidualNetwork:
    """Return the whole network on the CPU; reading it takes longer than copying the last one."""
    if is_own(context.spec.name):  # it may read any file
        return _build(context)
    weights = context.weights
    changed = None if weights is None else (str(weights), weights.stat().st_mtime_ns)
    spec = json.dumps(context.spec.to_dict(), sort_keys=True)
    key = (spec, context.seed_for("init"), changed, context.weights_key)
    if key not in _LAST_BUILT:
        _LAST_BUILT.clear()
        _LAST_BUILT[key] = _build(context)
    return _LAST_BUILT[key].without(())


_LAST_BUILT: dict[object, ResidualNetwork] = {}


def _build(context: TrialContext) -> ResidualNetwork:
    return build_network(
        context.spec,
        seed=context.seed_for("init"),
        weights=context.weights,
        weights_key=context.weights_key,
    )


def begun(network: ResidualNetwork, context: TrialContext) -> ResidualNetwork:
    """Let a last layer that starts from the seed begin at what the task's targets are."""
    spread, last = context.task.targets_spread(), last_linear(network.module)
    if spread is None or last is None:
        return network
    if context.weights is not None:
        fresh = build_network(context.spec, seed=context.seed_for("init"))
        beside = last_linear(fresh.module)
        if beside is None or not torch.equal(beside.weight, last.weight):
            return network  # it was given
    begin_at(last, *spread)
    return network


def train_parent(
    policy: Policy,
    context: TrialContext,
    on_epoch: Callable[[Epoch], None],
    *,
    network: ResidualNetwork | None = None,
    checkpoints: Checkpoints | None = None,
) -> Parent:
    """Train a network from its initialisation, or from given weights.

    Without training epochs nothing was dropped, so nothing is folded: p_l is 1 everywhere.

    Args:
        policy: how it is trained.
        context: network, data, device and seed.
        on_epoch: told of every epoch.
        network: what `untrained_network` gives, to be trained in place; None builds it.
        checkpoints: where training goes on from, and is kept.
    """
    network = network or untrained_network(context)
    epochs = policy.train.epochs
    survival = SurvivalOverTime(policy, network)
    gated = GatedNetwork(network, mode=policy.gate_mode, compensation=policy.compensation)

    def after_epoch(number: int) -> None:
        if policy.decay_shape == "sensitivity" and number == math.ceil(_MEASURE_AT * epochs):
            trained = network.without(())
            now = survival(number / epochs)
            if not policy.is_elastic:
                GatedNetwork(trained, compensation=policy.compensation).fold(now)
            ranks = context.ranks
            survival.redistribute(
                ranks.broadcast_result(lambda: score_branches(policy, context, trained))
            )

    task = context.task_of(policy.train)
    with context.ranks.run_on_all_ranks("parent", policy=policy, replicate=context.replicate):
        train(
            gated,
            context.training_batches(policy.train.batch_size, "training batches", task),
            context.validation_batches(),
            TrainingConfig(
                epochs=epochs,
                learning_rate=policy.train.learning_rate,
                schedule=policy.train.schedule,
                settings=policy.train,
                survival=survival,
                task=task,
                after_epoch=after_epoch,
                memory=survival,
                layer_seed=context.seed_for("training layers"),
                elastic=policy.train.elastic if policy.is_elastic else 0.0,
            ),
            gate_generator=context.generator("training gates"),
            on_epoch=on_epoch,
            checkpoints=checkpoints,
            ranks=context.ranks,
        )
    if not policy.is_elastic:  # else the whole network was trained as it is
        gated.fold(survival(1.0))
    network.module.eval()
    return Parent(network=network, survival=survival.lowest)


def score_branches(
    policy: Policy, context: TrialContext, network: ResidualNetwork
) -> dict[int, float]:
    """Return what each removable branch is worth by the policy's criterion, in its unit."""
    return branch_scores(
        policy.criterion,
        network,
        context.scoring_batches(),
        context.generator("criterion"),
        context.task,
    )


class SurvivalOverTime:
    """p_1..p_L at each moment of training, as a policy has them.

    Args:
        policy: shape in depth, and schedule in time.
        network: the whole network.

    Raises:
        InputError: the policy's explicit probabilities are not one per branch.
    """

    def __init__(self, policy: Policy, network: ResidualNetwork) -> None:
        self._policy, self._branches = policy, network.branches
        count = len(network.branches)
        if policy.survival is not None and len(policy.survival) != count:
            raise InputError(
                f"survival must hold one probability for each of {count} branches, "
                f"but got {len(policy.survival)}"
            )
        self.lowest = policy.survival or survival_probabilities(
            policy.survival_prob_last,
            count,
            policy.decay_shape,
            power=policy.decay_power,
            stages=[branch.stage for branch in network.branches],
        )
        if policy.train.epochs == 0:
            self.lowest = (1.0,) * count

    def __call__(self, progress: float) -> tuple[float, ...]:
        """Return p_1..p_L at a share of training in [0, 1]."""
        policy = self._policy
        return survival_at(
            self.lowest, progress, policy.depth_schedule, policy.depth_schedule_cutoff
        )

    def redistribute(self, scores: dict[int, float]) -> None:
        """Drop weak branches more from now on, at equal expected MACs.

        A branch without a score cannot be removed, and no chance to drop it is dealt out.
        """
        places = [i for i, branch in enumerate(self._branches) if branch.index in scores]
        dealt = by_sensitivity(
            [self.lowest[i] for i in places],
            [scores[self._branches[i].index] for i in places],
            [self._branches[i].macs for i in places],
        )
        lowest = dict(enumerate(self.lowest)) | dict(zip(places, dealt, strict=True))
        self.lowest = tuple(lowest[i] for i in range(len(lowest)))

    def state_dict(self) -> list[float]:
        """Return the probabilities at their lowest, which may have been dealt out."""
        return list(self.lowest)

    def load_state_dict(self, values: list[float]) -> None:
        """Take probabilities that were dealt out before a break."""
        self.lowest = tuple(values)
