"""Layers and parameters that are a branch's own."""

import torch
from torch import nn

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.gates.branch_parts import branch_layers, branch_parameters
from autodepth.networks.residual_network import ResidualNetwork


class Shared(nn.Module):
    """Two branches that share a layer, and have a scale each."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 2)
        self.layer = nn.Conv2d(4, 4, 3, padding=1)
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(1)) for _ in range(2)])

    def forward(self, x):
        x = self.stem(x)
        for scale in self.scales:
            x = x + scale * self.layer(x.relu())
        return self.head(x.mean((2, 3)))


def test_parameters_of_branches_and_of_the_rest_add_up():
    network = build_network(NetworkSpec(name="resnet14", height=8, width=8), seed=0)
    own = branch_parameters(network)

    for branch in network.branches:
        assert sum(p.numel() for p in own[branch.index]) == branch.parameters
    everything = [p for parameters in own.values() for p in parameters]
    assert len(everything) == len(set(everything))


def test_a_layer_of_two_branches_is_neithers_own_and_a_scale_is():
    network = ResidualNetwork.from_module(Shared(), (3, 8, 8))
    own = branch_parameters(network)

    assert [len(parameters) for parameters in own.values()] == [1, 1]
    assert all(p.shape == (1,) for parameters in own.values() for p in parameters)


def test_layers_are_those_of_a_copy_where_one_is_given():
    network = build_network(NetworkSpec(name="resnet14", height=8, width=8), seed=0)
    copy = network.without([]).module
    ours, theirs = branch_layers(network), branch_layers(network, copy)

    assert [list(map(type, layers)) for layers in ours.values()] == [
        list(map(type, layers)) for layers in theirs.values()
    ]
    assert not {id(layer) for layers in ours.values() for layer in layers} & {
        id(layer) for layers in theirs.values() for layer in layers
    }


def test_of_what_was_removed_nothing_is_told():
    network = build_network(NetworkSpec(name="resnet14", height=8, width=8), seed=0).without([2])

    assert 2 not in branch_layers(network)
    assert 2 not in branch_parameters(network)
