"""What the parts of a network cost, checked against sums written by hand."""

import torch
from torch import nn

from autodepth.networks.residual_network import ResidualNetwork

SHAPE = (4, 8, 8)
CONV = 4 * 4 * 9  # weights of a convolution; with its biases 4 more
PIXELS = 8 * 8


def conv():
    return nn.Conv2d(4, 4, 3, padding=1)


class SharedWeights(nn.Module):
    """Two branches with one convolution each of their own, and one that both use."""

    def __init__(self):
        super().__init__()
        self.stem, self.shared, self.own = conv(), conv(), nn.ModuleList((conv(), conv()))
        self.scale = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x):
        x = self.stem(x)
        x = x + self.own[0](self.shared(x))
        return x + self.scale * self.own[1](self.shared(x))


class Scattering(nn.Module):
    """Moves values to places of their own, which multiplies nothing."""

    def __init__(self):
        super().__init__()
        self.conv = conv()

    def forward(self, x):
        index = torch.arange(x.shape[-1] - 1, -1, -1, device=x.device).expand_as(x)
        return x + torch.zeros_like(x).scatter_(-1, index, self.conv(x))


def test_weights_that_two_branches_read_belong_to_neither():
    network = ResidualNetwork.from_module(SharedWeights(), SHAPE)
    parts = {part.name: part for part in network.around}

    assert [branch.parameters for branch in network.branches] == [CONV + 4, CONV + 4 + 4]
    assert [branch.macs for branch in network.branches] == [2 * CONV * PIXELS] * 2
    assert parts["between"].parameters == parts["stem"].parameters == CONV + 4
    assert (parts["stem"].macs, parts["between"].macs, parts["head"].macs) == (CONV * PIXELS, 0, 0)
    assert network.without([1]).total_parameters == network.total_parameters - CONV - 4


def test_moving_values_is_free():
    network = ResidualNetwork.from_module(nn.Sequential(conv(), Scattering()), SHAPE)

    assert [branch.macs for branch in network.branches] == [CONV * PIXELS]
    assert network.total_macs == 2 * CONV * PIXELS
