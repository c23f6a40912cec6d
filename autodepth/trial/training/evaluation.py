"""Measuring a network on the examples of a split."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autodepth.errors import DivergenceError
from autodepth.long_work import each
from autodepth.tasks.classification import CLASSIFICATION
from autodepth.tasks.loading import SizedBatches
from autodepth.tasks.task import Task

Network = Callable[[Tensor], Any]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How good a network is on the examples it was measured on.

    Args:
        accuracy: top-1 fraction; of another task, how good its leading metric is between its
            worst, 0, and its best, 1.
        loss: mean loss.
        metrics: of another task every metric, by its name; else empty.
    """

    accuracy: float
    loss: float
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def leading(self) -> float:
        """The leading metric, in its own unit."""
        return next(iter(self.metrics.values()), self.accuracy)

    def __post_init__(self) -> None:
        if not math.isfinite(self.loss):
            raise DivergenceError(f"the loss became {self.loss}")


class Measured:
    """Takes in outputs for examples, and says how good they are.

    Args:
        task: by whose metrics.
    """

    def __init__(self, task: Task) -> None:
        self._task, self._meter = task, task.meter()
        self._loss_sum, self._seen = 0.0, 0

    def update(self, outputs: Any, targets: Any, count: int) -> None:
        """Take in the outputs for a batch of so many."""
        self._meter.update(outputs, targets)
        self._loss_sum += self._task.summed_loss(outputs, targets).item()
        self._seen += count

    def evaluation(self) -> Evaluation:
        """Return how good they were.

        Raises:
            DivergenceError: the loss or a metric is not finite.
        """
        found = {name: float(value) for name, value in self._meter.compute().items()}
        for name, value in found.items():
            if not math.isfinite(value):
                raise DivergenceError(f"the metric {name} became {value}")
        leading, metric = next(iter(self._task.metrics.items()))
        return Evaluation(
            accuracy=metric.share(found[leading]),
            loss=self._loss_sum / self._seen,
            metrics=found if self._task.tells_metrics else {},
        )


@torch.inference_mode()
def answers(network: Network, batches: SizedBatches) -> npt.NDArray[np.int64]:
    """Return the class that a network, in evaluation mode, gives each image of `batches`."""
    told = [
        network(images).argmax(1).cpu()
        for images, _ in each(batches, "asking the network", len(batches))
    ]
    return torch.cat(told).numpy()


@torch.inference_mode()
def evaluate(network: Network, batches: SizedBatches, task: Task = CLASSIFICATION) -> Evaluation:
    """Measure a network, already in evaluation mode, on every example of `batches` in float32.

    Raises:
        DivergenceError: the loss is not finite.
    """
    measured = Measured(task)
    for inputs, targets in each(batches, "measuring accuracy", len(batches)):
        measured.update(network(inputs), targets, len(inputs))
    return measured.evaluation()
