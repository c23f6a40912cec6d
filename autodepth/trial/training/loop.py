"""Training with stochastic depth: the loop behind parents and fine-tuning alike.

Gates are drawn in every step. Where several ranks train together (`data_parallel.py`), each takes
its part of every batch, and what one of them has to know for all comes from the first. Where a
mean of the weights is kept, it is what an epoch is judged by and what is left at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from autodepth.errors import DivergenceError
from autodepth.lived_time import lived_seconds
from autodepth.networks.gates.batch_statistics import without_memory
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.tasks.loading import Batches
from autodepth.trial.device.device import autocast
from autodepth.trial.training.checkpoints import Checkpoints
from autodepth.trial.training.config import Epoch, TrainingConfig
from autodepth.trial.training.data_parallel import ALONE, Ranks
from autodepth.trial.training.early_stopping import EarlyStopping
from autodepth.trial.training.evaluation import evaluate
from autodepth.trial.training.optimizing.gradient_norms import GradientNorms
from autodepth.trial.training.optimizing.mean_weights import MeanWeights
from autodepth.trial.training.optimizing.optimizer import optimizer_of
from autodepth.trial.training.optimizing.rates import schedule_of
from autodepth.trial.training.state import LiveState, TrainingState, layers_draw_from

# Looking at the loss holds a GPU up, so it is not done in every step.
_STEPS_BETWEEN_CHECKS = 32


def train(
    network: GatedNetwork,
    batches: Batches,
    validation: Batches,
    config: TrainingConfig,
    *,
    gate_generator: torch.Generator,
    on_epoch: Callable[[Epoch], None],
    checkpoints: Checkpoints | None = None,
    ranks: Ranks = ALONE,
) -> None:
    """Train in place; with patience, the weights of the best epoch are left.

    Training that goes on from a checkpoint gives what it would have given without a break.

    Args:
        network: the network, on its device.
        batches: training examples, shuffled anew on every pass.
        validation: validation examples.
        config: how long and by what rules.
        gate_generator: CPU generator of the gates.
        on_epoch: told of every epoch, those of a checkpoint included, which take no time now;
            whatever it raises ends training.
        checkpoints: where training goes on from, and is kept; None starts anew.
        ranks: the processes that train together, all with the same arguments; only the first has
            checkpoints, validates and tells of epochs.

    Raises:
        DivergenceError: the loss of an epoch is not finite.
    """
    if config.epochs == 0:
        return
    batches = batches.part(ranks.part)
    optimizer = optimizer_of(network.module, config.settings, config.learning_rate)
    schedule = schedule_of(optimizer, config, steps=config.epochs * len(batches))
    generators = {"gates": gate_generator, "batches": batches.generator}
    best = EarlyStopping(network.module, config.patience)
    epochs: list[Epoch] = []
    device, seed = next(network.module.parameters()).device, ranks.layer_seed(config.layer_seed)
    with ranks.training(network.module), layers_draw_from(seed, device):
        moving = LiveState(
            module=network.module,
            optimizer=optimizer,
            schedule=schedule,
            means=MeanWeights(network.module, config.settings.ema),
            best=best,
            generators={name: g for name, g in generators.items() if g is not None},
            memory=config.memory,
        )
        state = ranks.broadcast_result(lambda: _latest(config, checkpoints))
        if state is not None:
            moving.load_state(state)
            if ranks.rank > 0:
                torch.manual_seed(ranks.layer_seed(config.layer_seed, len(state.epochs)))
            epochs.extend(state.epochs)
            ranks.broadcast_result(lambda: _tell_again(epochs, on_epoch))
        while len(epochs) < config.epochs and not best.waited_enough:
            number = len(epochs) + 1
            epoch = _one_epoch(number, network, batches, validation, config, moving, ranks)
            epochs.append(epoch)
            with moving.means.in_network():
                best.update(epoch.evaluation)
                config.after_epoch(number)
            if checkpoints and checkpoints.trunk and number == config.stable_epochs:
                checkpoints.trunk.end(number, lambda: moving.state(epochs))
            ranks.broadcast_result(partial(_tell, epoch, on_epoch, checkpoints, moving, epochs))
        if checkpoints:
            checkpoints.end(len(epochs), lambda: moving.state(epochs))
    moving.means.swap()
    best.restore()


def _latest(config: TrainingConfig, checkpoints: Checkpoints | None) -> TrainingState | None:
    """Return the furthest state that training can go on from."""
    if checkpoints is None:
        return None
    state = checkpoints.latest(config.epochs)
    if state is None and checkpoints.trunk and config.stable_epochs:
        state = checkpoints.trunk.latest(config.stable_epochs)
    return state


def _tell_again(epochs: list[Epoch], on_epoch: Callable[[Epoch], None]) -> None:
    for epoch in epochs:
        on_epoch(replace(epoch, seconds=0.0, replayed=True))


def _tell(
    epoch: Epoch,
    on_epoch: Callable[[Epoch], None],
    checkpoints: Checkpoints | None,
    moving: LiveState,
    epochs: list[Epoch],
) -> None:
    if checkpoints:
        # Before it is told, since telling may end training.
        checkpoints.offer(epoch.number, lambda: moving.state(epochs))
    on_epoch(epoch)


def _one_epoch(
    number: int,
    network: GatedNetwork,
    batches: Batches,
    validation: Batches,
    config: TrainingConfig,
    moving: LiveState,
    ranks: Ranks,
) -> Epoch:
    start = lived_seconds()
    tally = _Tally(network, ranks)
    network.train()
    for step, (inputs, targets) in enumerate(batches):
        progress = (number - 1 + step / len(batches)) / config.epochs
        survival = config.survival(progress)
        count = batches.size(step)
        gates = moving.generators["gates"]
        moving.optimizer.zero_grad(set_to_none=True)
        step_of = _elastic_step if config.is_elastic(progress) else _step
        outputs, loss, computed = step_of(
            network, inputs, targets, count, config, ranks, survival=survival, gates=gates
        )
        ranks.sum_gradients(network.module.parameters())
        hits = config.task.hits(_detached(outputs), targets)
        tally.note(loss, hits, count, math.fsum(survival), computed)
        if config.settings.clip_norm is not None:
            clip_grad_norm_(network.module.parameters(), config.settings.clip_norm)
        moving.optimizer.step()
        moving.schedule.step()
        config.after_step()
        moving.means.update()
        if step % _STEPS_BETWEEN_CHECKS == 0:
            tally.finite_loss(number)
    steps_ended = lived_seconds()
    train_loss = tally.finite_loss(number)
    network.eval()
    network.open_all(None if config.elastic else config.survival(number / config.epochs))
    with moving.means.in_network():
        evaluation = ranks.broadcast_result(lambda: evaluate(network, validation, config.task))
    return Epoch(
        number=number,
        train_loss=train_loss,
        train_accuracy=tally.accuracy(),
        branches_expected=tally.expected / len(batches),
        branches_computed=tally.computed / len(batches),
        gradient_norms=tally.norms.means(),
        images_per_second=tally.images / (steps_ended - start),
        evaluation=evaluation,
        seconds=lived_seconds() - start,
    )


def _step(
    network: GatedNetwork,
    inputs: Tensor,
    targets: Any,
    count: int,
    config: TrainingConfig,
    ranks: Ranks,
    *,
    survival: Sequence[float],
    gates: torch.Generator,
) -> tuple[Any, Tensor, float]:
    """Return the outputs of a network of random depth, its loss, and how many branches it has."""
    computed = network.draw(
        survival, gates, count, ranks.part(count), compensated=not config.elastic
    )
    outputs, loss = _backward(
        network, inputs, lambda found: config.loss(found, inputs, targets), count, config, ranks
    )
    return outputs, loss, computed


def _elastic_step(
    network: GatedNetwork,
    inputs: Tensor,
    targets: Any,
    count: int,
    config: TrainingConfig,
    ranks: Ranks,
    *,
    survival: Sequence[float],
    gates: torch.Generator,
) -> tuple[Any, Tensor, float]:
    """Return outputs and loss of the whole network, and how many branches two networks have.

    The second one is of random depth and learns the outputs of the whole one in the same step.
    Batch statistics that are kept are those of the whole network.
    """
    network.open_all()
    whole, loss = _backward(
        network, inputs, lambda found: config.loss(found, inputs, targets), count, config, ranks
    )
    wanted, rows = _detached(whole), max(1, len(inputs))
    computed = network.draw(survival, gates, count, ranks.part(count), compensated=False)
    with without_memory(network.module):
        _backward(
            network,
            inputs,
            lambda found: config.task.divergence(found, wanted) / rows,
            count,
            config,
            ranks,
        )
    return whole, loss, len(survival) + computed


def _backward(
    network: GatedNetwork,
    inputs: Tensor,
    loss_of: Callable[[Any], Tensor],
    count: int,
    config: TrainingConfig,
    ranks: Ranks,
) -> tuple[Any, Tensor]:
    """Return outputs and this rank's part of their loss, whose gradients are added."""
    with autocast(inputs.device, config.settings.precision):
        outputs = network(inputs)
        loss = ranks.share(loss_of(outputs), outputs, count)
    loss.backward()  # type: ignore[no-untyped-call]
    return outputs, loss


class _Tally:
    """Sums over the steps of an epoch, kept on the device: asking for them would hold it up."""

    def __init__(self, network: GatedNetwork, ranks: Ranks) -> None:
        device = next(network.module.parameters()).device
        self._loss = torch.zeros((), device=device)
        self._hits: Tensor | None = torch.zeros((), device=device)
        self._ranks, self.norms = ranks, GradientNorms(network)
        self.steps = self.images = 0
        self.expected = self.computed = 0.0

    def note(
        self,
        loss: Tensor,
        hits: Tensor | None,
        images: int,
        expected: float,
        computed: float,
    ) -> None:
        """Add a step of so many examples, on all ranks, whose gradients are there."""
        self._loss += loss.detach()
        self._hits = None if hits is None or self._hits is None else self._hits + hits
        self.norms.note()
        self.steps += 1
        self.images += images
        self.expected += expected
        self.computed += computed

    def finite_loss(self, epoch: int) -> float:
        """Return the mean loss over steps so far.

        Raises:
            DivergenceError: it is not finite.
        """
        mean = float(self._ranks.sum(self._loss)) / self.steps
        if not math.isfinite(mean):
            raise DivergenceError(f"the training loss became {mean} in epoch {epoch}")
        return mean

    def accuracy(self) -> float:
        """Return the fraction of hits; not a number where the task counts none."""
        if self._hits is None:
            return math.nan
        return float(self._ranks.sum(self._hits)) / self.images


def _detached(outputs: Any) -> Any:
    return outputs.detach() if isinstance(outputs, Tensor) else outputs
