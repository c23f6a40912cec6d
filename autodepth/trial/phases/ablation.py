"""Ablation: a network measured without each of its branches, one at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from autodepth.data.batches import Batches
from autodepth.long_work import long_work
from autodepth.networks.gates.ablation import WHOLE, scores_without_each
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.trial.training.evaluation import Evaluation


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """What was measured with all branches, and without each, on the same images."""

    whole: Evaluation
    without: Mapping[int, Evaluation]

    def accuracy_lost(self) -> dict[int, float]:
        """Return a fraction in [-1, 1] by branch; negative where it is better without."""
        return {b: self.whole.accuracy - e.accuracy for b, e in self.without.items()}

    def loss_gained(self) -> dict[int, float]:
        """Return the rise of cross-entropy by branch; negative where it is better without."""
        return {b: e.loss - self.whole.loss for b, e in self.without.items()}


def ablate(network: ResidualNetwork, batches: Batches) -> Ablation:
    """Measure a network without each of its removable branches.

    Args:
        network: a network on its device.
        batches: images to measure on (validation split).
    """
    gated = GatedNetwork(network)
    gated.eval()
    gated.open_all()
    correct: defaultdict[int, float] = defaultdict(float)
    loss_sum: defaultdict[int, float] = defaultdict(float)
    images_seen = 0
    passes = len(batches) * (1 + len(gated.removable_gates()))
    with long_work("leaving out each branch", passes) as advance:
        for images, labels in batches:
            for number, scores in scores_without_each(gated, images):
                with torch.inference_mode():
                    correct[number] += (scores.argmax(1) == labels).sum().item()
                    loss_sum[number] += F.cross_entropy(scores, labels, reduction="sum").item()
                advance(1)
            images_seen += len(labels)
    measured = {
        number: Evaluation(
            accuracy=correct[number] / images_seen, loss=loss_sum[number] / images_seen
        )
        for number in correct
    }
    return Ablation(whole=measured.pop(WHOLE), without=measured)
