"""Training with stochastic depth, and evaluation.

Used for parents (gates drawn in every step) and for fine-tuning (no gates) alike. SGD with
Nesterov momentum under a one-cycle rate; the schedule's last step is the last training step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from autodepth.data.batches import Batches
from autodepth.errors import DivergenceError
from autodepth.networks.gates import GatedNetwork
from autodepth.policy.policy import TrainingSettings
from autodepth.trial.device import autocast

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Accuracy (top-1 fraction) and mean cross-entropy on the images it was measured on."""

    accuracy: float
    loss: float


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One pass over the training split, told when it is over.

    Args:
        number: from 1.
        train_loss: mean cross-entropy over the steps.
        branches_computed: mean number of branches computed per step.
        evaluation: validation after the epoch, test-time rule.
        seconds: time of the epoch, validation included.
    """

    number: int
    train_loss: float
    branches_computed: float
    evaluation: Evaluation
    seconds: float


def train(  # noqa: PLR0913 - all of it named at the two calls
    network: GatedNetwork,
    batches: Batches,
    validation: Batches,
    *,
    epochs: int,
    learning_rate: float,
    settings: TrainingSettings,
    survival: Sequence[float],
    gate_generator: torch.Generator,
    on_epoch: Callable[[Epoch], None],
) -> None:
    """Train in place.

    Args:
        network: the network, on its device.
        batches: training images, shuffled anew on every pass.
        validation: validation images.
        epochs: passes over `batches`; 0 does nothing.
        learning_rate: highest rate of the one-cycle schedule.
        settings: everything else about training.
        survival: p_l of every branch that is there; all ones train the plain network.
        gate_generator: CPU generator of the gates.
        on_epoch: told of every epoch; whatever it raises ends training.

    Raises:
        DivergenceError: the loss of an epoch is not finite.
    """
    if epochs == 0:
        return
    parameters = list(network.module.parameters())
    optimizer = torch.optim.SGD(
        parameters,
        lr=learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.momentum > 0,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=epochs * len(batches), cycle_momentum=False
    )
    for number in range(1, epochs + 1):
        start = time.monotonic()
        loss_sum = torch.zeros((), device=parameters[0].device)
        computed = 0.0
        network.train()
        for images, labels in batches:
            computed += network.draw(survival, gate_generator, len(images))
            with autocast(images.device, settings.precision):
                scores = network(images)
                loss = F.cross_entropy(scores, labels, label_smoothing=settings.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            loss_sum += loss.detach()
        train_loss = float(loss_sum) / len(batches)
        if not math.isfinite(train_loss):
            raise DivergenceError(f"the training loss became {train_loss} in epoch {number}")
        network.eval()
        network.open_all(survival)
        evaluation = evaluate(network, validation)
        on_epoch(
            Epoch(
                number=number,
                train_loss=train_loss,
                branches_computed=computed / len(batches),
                evaluation=evaluation,
                seconds=time.monotonic() - start,
            )
        )


@torch.inference_mode()
def evaluate(network: Network, batches: Batches) -> Evaluation:
    """Measure a network, already in evaluation mode, on every image of `batches` in float32.

    Raises:
        DivergenceError: the loss is not finite.
    """
    correct = loss_sum = 0.0
    images_seen = 0
    for images, labels in batches:
        scores = network(images)
        correct += (scores.argmax(1) == labels).sum().item()
        loss_sum += F.cross_entropy(scores, labels, reduction="sum").item()
        images_seen += len(labels)
    loss = loss_sum / images_seen
    if not math.isfinite(loss):
        raise DivergenceError(f"the validation loss became {loss}")
    return Evaluation(accuracy=correct / images_seen, loss=loss)
