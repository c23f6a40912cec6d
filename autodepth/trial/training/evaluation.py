"""Measuring a network on images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from autodepth.data.batches import Batches
from autodepth.errors import DivergenceError
from autodepth.long_work import each

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Accuracy (top-1 fraction) and mean cross-entropy on the images it was measured on."""

    accuracy: float
    loss: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.loss):
            raise DivergenceError(f"the loss became {self.loss}")


@torch.inference_mode()
def answers(network: Network, batches: Batches) -> npt.NDArray[np.int64]:
    """Return the class that a network, in evaluation mode, gives each image of `batches`."""
    told = [
        network(images).argmax(1).cpu()
        for images, _ in each(batches, "asking the network", len(batches))
    ]
    return torch.cat(told).numpy()


@torch.inference_mode()
def evaluate(network: Network, batches: Batches) -> Evaluation:
    """Measure a network, already in evaluation mode, on every image of `batches` in float32.

    Raises:
        DivergenceError: the loss is not finite.
    """
    correct = loss_sum = 0.0
    images_seen = 0
    for images, labels in each(batches, "measuring accuracy", len(batches)):
        scores = network(images)
        correct += (scores.argmax(1) == labels).sum().item()
        loss_sum += F.cross_entropy(scores, labels, reduction="sum").item()
        images_seen += len(labels)
    return Evaluation(accuracy=correct / images_seen, loss=loss_sum / images_seen)
