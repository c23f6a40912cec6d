"""Scores without each branch are those of whole passes, in fewer of them."""

import torch

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.gates.ablation import WHOLE, scores_without_each
from autodepth.networks.gates.gates import GatedNetwork

IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_each_is_the_network_without_the_branch_and_the_last_is_the_whole():
    network = build_network(NetworkSpec(name="resnet14", height=8, width=8), seed=1)
    gated = GatedNetwork(network)
    gated.eval()
    gated.open_all()
    found = dict(scores_without_each(gated, IMAGES))
    removable = [branch.index for branch in network.branches if branch.removable]

    assert list(found) == [*removable, WHOLE]
    for number, scores in found.items():
        left = network.without([number] if number else []).module.eval()
        assert torch.equal(scores, left(IMAGES))


def test_every_gate_is_open_again():
    gated = GatedNetwork(build_network(NetworkSpec(name="resnet14", height=8, width=8), seed=1))
    gated.eval()
    gated.open_all()
    before = gated(IMAGES)
    list(scores_without_each(gated, IMAGES))

    assert torch.equal(gated(IMAGES), before)
