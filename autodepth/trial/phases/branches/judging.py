"""Judging a network without sets of its branches, before anything is trained.

Batch statistics are those of the smaller network on the images it is judged on, as of
`batch_statistics`. How far its outputs are from the whole network's needs no labels: the
Kullback-Leibler divergence KL(whole || smaller) of the class probabilities, in nats.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from autodepth.data.batches import Batches
from autodepth.long_work import long_work
from autodepth.networks.gates.batch_statistics import batch_statistics
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.gates.masked_runs import Mask, outputs_without
from autodepth.networks.residual_network import ResidualNetwork


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A network without some branches, on the images it was judged on.

    Args:
        accuracy: share of right answers, in [0, 1].
        loss: mean cross-entropy.
        divergence: mean KL(whole || smaller) of class probabilities, in nats, at least 0.
    """

    accuracy: float
    loss: float
    divergence: float


class Judge:
    """Judges a network without sets of branches, always on the same images.

    Args:
        network: a trained network on its device.
        batches: images to judge on, in batches of about equal size.
    """

    def __init__(self, network: ResidualNetwork, batches: Batches) -> None:
        self._gated, self._batches = GatedNetwork(network), batches
        self._gated.eval()
        self._gated.open_all()
        self._whole: list[Tensor] = []  # log-probabilities of each batch

    def __call__(
        self, masks: Sequence[Collection[int]], told: str = "leaving out branches"
    ) -> dict[Mask, Judged]:
        """Return what the network is without each set of branches.

        Args:
            masks: numbers of removable branches; equal sets count once.
            told: what progress is called.
        """
        sums: defaultdict[Mask, Tensor] = defaultdict(lambda: torch.zeros(3, dtype=torch.float64))
        images_seen = 0
        with long_work(told, len(self._batches) * len(masks)) as advance:
            for number, (images, labels) in enumerate(self._batches):
                whole = self._of_whole(number, images)
                with batch_statistics(self._gated.module, len(images)):
                    for mask, scores in outputs_without(self._gated, images, masks):
                        sums[mask] += _sums(scores, labels, whole)
                        advance(1)
                images_seen += len(images)
        return {mask: _judged(*(total / images_seen).tolist()) for mask, total in sums.items()}

    @torch.inference_mode()
    def _of_whole(self, number: int, images: Tensor) -> Tensor:
        if number == len(self._whole):
            self._whole.append(self._gated(images).log_softmax(1))
        return self._whole[number]


def _judged(accuracy: float, loss: float, divergence: float) -> Judged:
    return Judged(accuracy=accuracy, loss=loss, divergence=divergence)


@torch.inference_mode()
def _sums(scores: Tensor, labels: Tensor, whole: Tensor) -> Tensor:
    """Return right answers, cross-entropy and divergence, summed over a batch."""
    logs = scores.log_softmax(1)
    right = (scores.argmax(1) == labels).sum()
    loss = F.nll_loss(logs, labels, reduction="sum")
    divergence = F.kl_div(logs, whole, log_target=True, reduction="sum")
    return torch.stack([right.double(), loss.double(), divergence.double()]).cpu()
