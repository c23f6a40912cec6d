"""Ablation: a network measured without each of its branches, one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autodepth.networks.gates.masked_runs import WHOLE
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.tasks.classification import CLASSIFICATION
from autodepth.tasks.loading import Batches
from autodepth.tasks.task import Task
from autodepth.trial.phases.branches.judging import Judge, Judged


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """What was measured with all branches, and without each, on the same images."""

    whole: Judged
    without: Mapping[int, Judged]

    def accuracy_lost(self) -> dict[int, float]:
        """Return a fraction in [-1, 1] by branch; negative where it is better without."""
        return {b: self.whole.accuracy - j.accuracy for b, j in self.without.items()}

    def loss_gained(self) -> dict[int, float]:
        """Return the rise of the loss by branch; negative where it is better without."""
        return {b: j.loss - self.whole.loss for b, j in self.without.items()}

    def divergence(self) -> dict[int, float]:
        """Return KL(whole || without the branch) of the class probabilities by branch, in nats."""
        return {b: j.divergence for b, j in self.without.items()}


def ablate(network: ResidualNetwork, batches: Batches, task: Task = CLASSIFICATION) -> Ablation:
    """Measure a network without each of its removable branches.

    Args:
        network: a network on its device.
        batches: images to measure on (validation split), in batches of about equal size.
        task: by whose metrics.
    """
    numbers = [branch.index for branch, _ in network.kept() if branch.removable]
    judge = Judge(network, batches, task)
    found = judge([*((number,) for number in numbers), WHOLE], "leaving out each branch")
    return Ablation(
        whole=found[WHOLE], without={number: found[frozenset({number})] for number in numbers}
    )
