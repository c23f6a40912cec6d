"""A task: what a network learns, and what it is judged by. Read this to write one of your own.

    class Angles(Task):
        metrics = {"degrees": Metric(worst=90, best=0, unit="°")}  # the first one leads the search

        def batches(self, split, *, batch_size, generator):   # "train", "validation" or "test"
            return DataLoader(self.sets[split], batch_size, shuffle=generator is not None,
                              generator=generator)             # gives (inputs, targets)

        def loss(self, outputs, targets):                      # mean over the batch
            return functional.mse_loss(outputs, targets)

        def measure(self, outputs, targets):                   # mean over the batch
            return {"degrees": (outputs - targets).abs().mean()}

The network is called as `network(inputs)`. A metric `degrees` is `validation_degrees` wherever it
was measured on the validation split: as objective, constraint, column and MLflow metric.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from autodepth.data.batches import LabelledImages
from autodepth.data.settings import Normalisation
from autodepth.errors import InputError
from autodepth.networks.catalogue import NetworkSpec
from autodepth.policy.training_settings import TrainingSettings

Split: TypeAlias = Literal["train", "validation", "test"]
Batch: TypeAlias = tuple[Tensor, Any]
"""Inputs [B, ...], and targets: a tensor, or tensors in a list, tuple or mapping."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure that a network is judged by.

    Args:
        worst: what a useless network has: the reference of the hypervolume, and 0 on the scale by
            which trials are compared.
        best: what none, or hardly any, has; 1 on that scale. Above `worst` more is better, below
            it less is.
        unit: what stands behind its values; `%` shows a fraction as a percentage.
    """

    worst: float = 0.0
    best: float = 1.0
    unit: str = ""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.worst) and math.isfinite(self.best) and self.worst != self.best):
            raise InputError(
                f"worst and best of a metric must be two numbers, but got {self.worst} and "
                f"{self.best}"
            )

    @property
    def goal(self) -> Literal["maximize", "minimize"]:
        """Which way it is better."""
        return "maximize" if self.best > self.worst else "minimize"

    def share(self, value: float) -> float:
        """Return how good a value is: 0 at the worst, 1 at the best, in a line between."""
        if (self.worst, self.best) == (0.0, 1.0):  # to the bit
            return min(1.0, max(0.0, value))
        return min(1.0, max(0.0, (value - self.worst) / (self.best - self.worst)))


class Meter(Protocol):
    """Takes in a split batch by batch; a `torchmetrics.MetricCollection` is one."""

    def update(self, outputs: Any, targets: Any, /) -> None:
        """Take in the outputs for one batch."""

    def compute(self) -> Mapping[str, Any]:
        """Return every metric by its name, of all that was taken in."""


class Task(ABC):
    """What is learned. A search needs `metrics`, `batches`, `loss` and `measure`."""

    metrics: ClassVar[Mapping[str, Metric]] = {}
    """Every metric by its name, letters, digits and `_`; the first one leads the search."""
    outputs: int = 0
    """Numbers the network gives for one input: what its builder gets as `num_classes`."""
    names: Sequence[str] = ()
    """What these numbers stand for, such as classes; cards and files tell them."""
    normalisation: Normalisation | None = None
    """What pixels were normalised with, where inputs are images; a network's users need it."""

    images: LabelledImages | None = None
    """Where batches come from that autodepth makes itself; None where the task gives them."""
    tells_metrics: ClassVar[bool] = True
    """Whether figures go by the names of its metrics; those of classification are `accuracy`."""

    @abstractmethod
    def batches(
        self, split: Split, *, batch_size: int, generator: torch.Generator | None
    ) -> Iterable[Batch]:
        """Return batches of a split, the same examples in every process; it has a length.

        Args:
            split: which examples; no example may be in two splits.
            batch_size: examples in a batch; the last one may have fewer.
            generator: shuffles and augments, and is all that does; None gives the examples as
                they are, in their order.
        """

    @abstractmethod
    def loss(self, outputs: Any, targets: Any) -> Tensor:
        """Return what training makes smaller: a number, the mean over the batch."""

    def measure(self, outputs: Any, targets: Any) -> Mapping[str, Any]:
        """Return the metrics of one batch, each a mean over its examples."""
        raise NotImplementedError(f"{type(self).__name__} must have measure, or meter")

    def meter(self) -> Meter:
        """Return what measures a whole split; by default the mean of `measure` over examples."""
        return Means(self)

    def distillation(
        self,
        outputs: Any,  # noqa: ARG002
        teachers: Any,  # noqa: ARG002
        temperature: float,  # noqa: ARG002
    ) -> Tensor:
        """Return how far outputs are from a teacher's, mean over the batch; it may be left out."""
        raise InputError(f"{type(self).__name__} has no distillation, so it must be 0")

    def training_head(self) -> nn.Module | None:
        """Return what outputs go through in training, weights from the global generator.

        It is trained with the network, and left out in evaluation and of what is exported; None
        where there is nothing of the kind.
        """
        return None

    def targets_spread(self) -> tuple[Tensor, Tensor] | None:
        """Return mean and standard deviation of each number that the network is to give.

        The first weights of its last layer are moved there. Without this a network has to learn
        first what size its outputs are of, and far from 0 and 1 it may never do. None where
        outputs are scores, or the like.
        """
        return None

    # What follows is as it is for most tasks.

    def for_network(self, network: NetworkSpec) -> Task:  # noqa: ARG002
        """Return the task as it is for one network."""
        return self

    def trained_by(self, settings: TrainingSettings) -> Task:  # noqa: ARG002
        """Return the task as training by settings has it."""
        return self

    def training_loss(self, outputs: Any, targets: Any, label_smoothing: float) -> Tensor:  # noqa: ARG002
        """Return the loss of a training step; outputs are those of the head, if there is one."""
        return self.loss(outputs, targets)

    def summed_loss(self, outputs: Any, targets: Any) -> Tensor:
        """Return the loss summed over the examples of a batch."""
        return self.loss(outputs, targets) * examples_in(targets)

    def divergence(self, outputs: Any, whole: Any) -> Tensor:
        """Return how far outputs are from the whole network's, summed over the examples."""
        if not isinstance(outputs, Tensor):
            return torch.tensor(math.nan)
        apart: Tensor = (outputs - whole).float().square().flatten(1).mean(1).sum()
        return apart

    def hits(self, outputs: Any, targets: Any) -> Tensor | None:  # noqa: ARG002
        """Return how many examples of a training batch are right; None where none is."""
        return None


class Means:
    """The mean over examples of what a task measures in batches."""

    def __init__(self, task: Task) -> None:
        self._task, self._seen = task, 0
        self._sums: dict[str, float] = {}

    def update(self, outputs: Any, targets: Any) -> None:
        """Take in the outputs for one batch."""
        count = examples_in(targets)
        for name, value in self._task.measure(outputs, targets).items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value) * count
        self._seen += count

    def compute(self) -> dict[str, float]:
        """Return every mean by its name."""
        return {name: total / self._seen for name, total in self._sums.items()}


def examples_in(targets: Any) -> int:
    """Return how many examples the targets of a batch are of.

    Args:
        targets: a tensor with a row per example; a list of something per example; or tensors in a
            tuple or mapping.
    """
    if isinstance(targets, Mapping):
        return examples_in(next(iter(targets.values())))
    if isinstance(targets, tuple) or (
        isinstance(targets, list) and targets and isinstance(targets[0], Tensor)
    ):
        return examples_in(targets[0])
    return len(targets)
