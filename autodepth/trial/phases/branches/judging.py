"""Judging a network without sets of its branches, before anything is trained.

Batch statistics are those of the smaller network on the images it is judged on, as of
`batch_statistics`. How far its outputs are from the whole network's needs no labels: the
Kullback-Leibler divergence KL(whole || smaller) of the class probabilities, in nats; of another
task, the mean squared difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autodepth.long_work import long_work
from autodepth.networks.gates.batch_statistics import batch_statistics, following_batches
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.gates.masked_runs import Mask, Narrow, Widths, outputs_with
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.tasks.classification import CLASSIFICATION
from autodepth.tasks.loading import Batches
from autodepth.tasks.task import Task
from autodepth.trial.training.evaluation import Measured

_AT_ONCE = 32  # images, where batches may be cut


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
        narrower: the network with all branches narrower, by the share of channels they have left.
    """

    def __init__(
        self,
        network: ResidualNetwork,
        batches: Batches,
        task: Task = CLASSIFICATION,
        narrower: Mapping[float, ResidualNetwork] | None = None,
    ) -> None:
        self._gated, self._batches, self._task = _open(network), batches, task
        self._narrower = {width: _open(other) for width, other in (narrower or {}).items()}
        self.narrow: Narrow = {
            (number, width): gate.branch
            for width, gated in self._narrower.items()
            for number, gate in gated.removable_gates().items()
            if gated.inputs_of(gate) == self._gated.inputs_of(self._gated.removable_gates()[number])
        }
        """Branches of other widths, by number and width, that can take the place of whole ones."""
        self._whole: list[Any] = []  # outputs for each part of a batch
        modules = [gated.module for gated in (self._gated, *self._narrower.values())]
        self._by_batch = any(following_batches(module) for module in modules)

    def __call__(
        self, masks: Sequence[Collection[int]], told: str = "leaving out branches"
    ) -> dict[Mask, Judged]:
        """Return what the network is without each set of branches.

        Args:
            masks: numbers of removable branches; equal sets count once.
            told: what progress is called.
        """
        left_out = [frozenset((number, 0.0) for number in mask) for mask in masks]
        found = self.with_widths(left_out, told)
        return {frozenset(b for b, _ in widths): judged for widths, judged in found.items()}

    def with_widths(
        self, choices: Sequence[Widths], told: str = "judging narrower branches"
    ) -> dict[Widths, Judged]:
        """Return what the network is with branches of other widths, or without them.

        Args:
            choices: widths of removable branches, out of `narrow` and 0.
            told: what progress is called.
        """
        found: defaultdict[Widths, _Sums] = defaultdict(lambda: _Sums(self._task))
        modules = [gated.module for gated in (self._gated, *self._narrower.values())]
        with long_work(told, len(self._batches) * len(choices)) as advance:
            for number, (images, targets, done) in enumerate(self._parts()):
                whole = self._of_whole(number, images)
                with ExitStack() as statistics:
                    for module in modules:
                        statistics.enter_context(batch_statistics(module, len(images)))
                    for widths, outputs in outputs_with(self._gated, images, choices, self.narrow):
                        found[widths].update(outputs, targets, whole, len(images))
                        advance(done)
        return {widths: sums.judged() for widths, sums in found.items()}

    def _parts(self) -> Iterator[tuple[Tensor, Any, int]]:
        """Yield images, targets, and how many batches are done with them.

        Where no statistics are taken of a batch, what it is cut into changes nothing but memory.
        """
        for images, targets in self._batches:
            if self._by_batch or not isinstance(targets, Tensor) or len(targets) != len(images):
                yield images, targets, 1
                continue
            their_parts = torch.split(targets, _AT_ONCE)
            parts = zip(torch.split(images, _AT_ONCE), their_parts, strict=True)
            count = -(-len(images) // _AT_ONCE)
            for part, (some, their) in enumerate(parts, start=1):
                yield some, their, int(part == count)

    @torch.inference_mode()
    def _of_whole(self, number: int, images: Tensor) -> Any:
        if number == len(self._whole):
            self._whole.append(self._gated(images))
        return self._whole[number]


def _open(network: ResidualNetwork) -> GatedNetwork:
    gated = GatedNetwork(network)
    gated.eval()
    gated.open_all()
    return gated


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
