"""Ablation measures a network without each branch, on the same images."""

import pytest
import torch

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.trial.phases.branches.ablation import Ablation, ablate
from autodepth.trial.phases.branches.judging import Judged
from autodepth.trial.training.evaluation import evaluate

GENERATOR = torch.Generator().manual_seed(0)
BATCHES = [
    (torch.randn(size, 3, 8, 8, generator=GENERATOR), torch.arange(size) % 10) for size in (4, 3)
]


def test_each_number_is_that_of_the_network_without_the_branch():
    network = build_network(NetworkSpec(name="resnet14", height=8, width=8), seed=1)
    found = ablate(network, BATCHES)
    removable = [branch.index for branch in network.branches if branch.removable]

    assert list(found.without) == removable
    for number in (None, *removable):
        module = network.without([] if number is None else [number]).module.eval()
        expected = evaluate(module, BATCHES)
        measured = found.whole if number is None else found.without[number]
        assert measured.accuracy == expected.accuracy
        assert measured.loss == pytest.approx(expected.loss, rel=1e-6)


def test_what_is_lost_and_gained_is_told_against_the_whole():
    found = Ablation(
        whole=Judged(accuracy=0.9, loss=0.5, divergence=0.0),
        without={
            2: Judged(accuracy=0.6, loss=0.75, divergence=0.3),
            3: Judged(accuracy=1.0, loss=0.25, divergence=0.2),
        },
    )

    assert found.accuracy_lost() == {2: pytest.approx(0.3), 3: pytest.approx(-0.1)}
    assert found.loss_gained() == {2: 0.25, 3: -0.25}
    assert found.divergence() == {2: 0.3, 3: 0.2}
