"""Judging a network without sets of its branches, before anything is trained.

Batch statistics are those of the smaller network on the images it is judged on, as of
`batch_statistics`. How far its outputs are from the whole network's needs no labels: the
Kullback-Leibler divergence KL(whole || smaller) of the class probabilities, in nats; of another
task, the mean squared difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autodepth.long_work import long_work
from autodepth.networks.gates.batch_statistics import batch_statistics
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.gates.masked_runs import Mask, outputs_without
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.tasks.classification import CLASSIFICATION
from autodepth.tasks.loading import Batches
from autodepth.tasks.task import Task
from autodepth.trial.training.evaluation import Measured


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A network without some branches, on the images it was judged on.

    Args:
        accuracy: share of right answers, in [0, 1]; of another task as of `Evaluation`.
        loss: mean loss.
        divergence: mean distance of outputs from the whole network's, at least 0, by the task.
    """

    accuracy: float
    loss: float
    divergence: float


class Judge:
    """Judges a network without sets of branches, always on the same images.

    Args:
        network: a trained network on its device.
        batches: images to judge on, in batches of about equal size.
        task: by whose metrics.
    """

    def __init__(
        self, network: ResidualNetwork, batches: Batches, task: Task = CLASSIFICATION
    ) -> None:
        self._gated, self._batches, self._task = GatedNetwork(network), batches, task
        self._gated.eval()
        self._gated.open_all()
        self._whole: list[Any] = []  # outputs for each batch

    def __call__(
        self, masks: Sequence[Collection[int]], told: str = "leaving out branches"
    ) -> dict[Mask, Judged]:
        """Return what the network is without each set of branches.

        Args:
            masks: numbers of removable branches; equal sets count once.
            told: what progress is called.
        """
        found: defaultdict[Mask, _Sums] = defaultdict(lambda: _Sums(self._task))
        with long_work(told, len(self._batches) * len(masks)) as advance:
            for number, (images, targets) in enumerate(self._batches):
                whole = self._of_whole(number, images)
                with batch_statistics(self._gated.module, len(images)):
                    for mask, outputs in outputs_without(self._gated, images, masks):
                        found[mask].update(outputs, targets, whole, len(images))
                        advance(1)
        return {mask: sums.judged() for mask, sums in found.items()}

    @torch.inference_mode()
    def _of_whole(self, number: int, images: Tensor) -> Any:
        if number == len(self._whole):
            self._whole.append(self._gated(images))
        return self._whole[number]


class _Sums:
    """What a network without some branches comes to, batch by batch."""

    def __init__(self, task: Task) -> None:
        self._task, self._measured = task, Measured(task)
        self._divergence, self._seen = 0.0, 0

    @torch.inference_mode()
    def update(self, outputs: Any, targets: Any, whole: Any, count: int) -> None:
        self._measured.update(outputs, targets, count)
        self._divergence += self._task.divergence(outputs, whole).item()
        self._seen += count

    def judged(self) -> Judged:
        found = self._measured.evaluation()
        divergence = self._divergence / self._seen
        return Judged(accuracy=found.accuracy, loss=found.loss, divergence=divergence)
