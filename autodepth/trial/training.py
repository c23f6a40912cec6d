"""Training with stochastic depth: the loop behind parents and fine-tuning alike.

SGD with Nesterov momentum; gates are drawn in every step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from autodepth.data.batches import Batches
from autodepth.errors import DivergenceError
from autodepth.networks.gates import GatedNetwork
from autodepth.trial.course import Course, Epoch
from autodepth.trial.device import autocast
from autodepth.trial.evaluation import Evaluation, evaluate
from autodepth.trial.gradient_norms import GradientNorms

# Looking at the loss holds a GPU up, so it is not done in every step.
_STEPS_BETWEEN_CHECKS = 32


def train(
    network: GatedNetwork,
    batches: Batches,
    validation: Batches,
    course: Course,
    *,
    gate_generator: torch.Generator,
    on_epoch: Callable[[Epoch], None],
) -> None:
    """Train in place; with patience, the weights of the best epoch are left.

    Args:
        network: the network, on its device.
        batches: training images, shuffled anew on every pass.
        validation: validation images.
        course: how long and by what rules.
        gate_generator: CPU generator of the gates.
        on_epoch: told of every epoch; whatever it raises ends training.

    Raises:
        DivergenceError: the loss of an epoch is not finite.
    """
    if course.epochs == 0:
        return
    optimizer, schedule = _optimizer(network.module, course, steps=course.epochs * len(batches))
    best = _Best(network.module, course.patience)
    for number in range(1, course.epochs + 1):
        start = time.monotonic()
        tally = _Tally(network)
        network.train()
        for step, (images, labels) in enumerate(batches):
            progress = (number - 1 + step / len(batches)) / course.epochs
            survival = course.survival(progress)
            computed = network.draw(survival, gate_generator, len(images))
            with autocast(images.device, course.settings.precision):
                scores = network(images)
                loss = course.loss(scores, images, labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            tally.note(loss, scores, labels, math.fsum(survival), computed)
            optimizer.step()
            schedule.step()
            course.after_step()
            if step % _STEPS_BETWEEN_CHECKS == 0:
                tally.finite_loss(number)
        steps_ended = time.monotonic()
        train_loss = tally.finite_loss(number)
        network.eval()
        network.open_all(course.survival(number / course.epochs))
        evaluation = evaluate(network, validation)
        on_epoch(
            Epoch(
                number=number,
                train_loss=train_loss,
                train_accuracy=tally.accuracy(),
                branches_expected=tally.expected / len(batches),
                branches_computed=tally.computed / len(batches),
                gradient_norms=tally.norms.means(),
                images_per_second=tally.images / (steps_ended - start),
                evaluation=evaluation,
                seconds=time.monotonic() - start,
            )
        )
        if best.waited_enough(evaluation):
            break
    best.restore()


class _Tally:
    """Sums over the steps of an epoch, kept on the device: asking for them would hold it up."""

    def __init__(self, network: GatedNetwork) -> None:
        device = next(network.module.parameters()).device
        self._loss = torch.zeros((), device=device)
        self._correct = torch.zeros((), device=device)
        self.norms = GradientNorms(network)
        self.steps = self.images = 0
        self.expected = self.computed = 0.0

    def note(
        self, loss: Tensor, scores: Tensor, labels: Tensor, expected: float, computed: float
    ) -> None:
        """Add a step whose gradients are there."""
        self._loss += loss.detach()
        self._correct += (scores.detach().argmax(1) == labels).sum()
        self.norms.note()
        self.steps += 1
        self.images += len(labels)
        self.expected += expected
        self.computed += computed

    def finite_loss(self, epoch: int) -> float:
        """Return the mean loss over steps so far.

        Raises:
            DivergenceError: it is not finite.
        """
        mean = float(self._loss) / self.steps
        if not math.isfinite(mean):
            raise DivergenceError(f"the training loss became {mean} in epoch {epoch}")
        return mean

    def accuracy(self) -> float:
        """Return the top-1 fraction over images."""
        return float(self._correct) / self.images


class _Best:
    """The weights of the epoch with the lowest validation loss, where patience asks for them."""

    def __init__(self, module: nn.Module, patience: int | None) -> None:
        self._module, self._patience = module, patience
        self._loss, self._waited = math.inf, 0
        self._state: dict[str, Tensor] | None = None

    def waited_enough(self, evaluation: Evaluation) -> bool:
        """Hear of an epoch; return whether training is to end."""
        if self._patience is None:
            return False
        self._waited += 1
        if evaluation.loss < self._loss:
            self._loss, self._waited = evaluation.loss, 0
            self._state = {k: v.clone() for k, v in self._module.state_dict().items()}
        return self._waited >= self._patience

    def restore(self) -> None:
        """Put the best epoch's weights back."""
        if self._state is not None:
            self._module.load_state_dict(self._state)


def _optimizer(module: nn.Module, course: Course, *, steps: int) -> tuple[SGD, LRScheduler]:
    settings = course.settings
    optimizer = SGD(
        list(module.parameters()),
        lr=course.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.momentum > 0,
    )
    if course.schedule == "constant":
        return optimizer, LambdaLR(optimizer, lambda _: 1.0)
    return optimizer, OneCycleLR(
        optimizer, course.learning_rate, total_steps=steps, cycle_momentum=False
    )
