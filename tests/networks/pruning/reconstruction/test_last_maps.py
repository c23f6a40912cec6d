"""The last linear map of a branch, and what lies between it and the addition."""

import pytest
import torch
from torch import nn

from autodepth.networks.pruning.reconstruction.last_maps import last_maps
from autodepth.networks.residual_network import ResidualNetwork

SHAPE = (6, 8, 8)
IMAGES = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """x + branch(x), twice, and the mean of it."""

    def __init__(self, branch):
        super().__init__()
        self.first, self.second = branch(), branch()

    def forward(self, x):
        x = x + self.first(x)
        return (x + self.second(x)).mean((2, 3))


class Scaled(nn.Module):
    """ConvNeXt's ending: channels last, a linear layer, back again, a layer scale."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.scale = nn.Parameter(torch.linspace(0.5, 2, 6).view(6, 1, 1))

    def forward(self, x):
        return self.linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) * self.scale


class NoScale(Scaled):
    def __init__(self):
        super().__init__()
        nn.init.zeros_(self.scale)


def conv(**kwargs):
    return nn.Conv2d(6, 6, 3, padding=1, **kwargs)


ENDINGS = {
    "convolution": lambda: nn.Sequential(nn.ReLU(), conv()),
    "norm after it": lambda: nn.Sequential(nn.ReLU(), conv(bias=False), nn.BatchNorm2d(6)),
    "strided and dilated": lambda: nn.Sequential(
        nn.Upsample(scale_factor=2), nn.Conv2d(6, 6, 3, stride=2, padding=2, dilation=2)
    ),
    "one by one": lambda: nn.Sequential(nn.ReLU(), nn.Conv2d(6, 6, 1), nn.Dropout(0.1)),
    "layer scale": Scaled,
}
OTHERS = {
    "an activation": lambda: nn.Sequential(conv(), nn.ReLU()),
    "groups": lambda: nn.Sequential(nn.ReLU(), conv(groups=2)),
    "another padding": lambda: nn.Sequential(nn.ReLU(), conv(padding_mode="reflect")),
    "a norm without weights": lambda: nn.Sequential(conv(), nn.BatchNorm2d(6, affine=False)),
    "a parametrised weight": lambda: nn.utils.parametrizations.weight_norm(conv()),
    "a layer scale of zero": NoScale,
}


def read(branch):
    torch.manual_seed(0)
    network = ResidualNetwork.from_module(Net(branch), SHAPE)
    network.module.eval()
    for module in network.module.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network


def inputs_of(network, source):
    """What the node of that name gives for the images."""
    interpreter = torch.fx.Interpreter(network.module)
    kept = {}
    run = interpreter.run_node

    def run_node(node):
        kept[node.name] = run(node)
        return kept[node.name]

    interpreter.run_node = run_node
    with torch.no_grad():
        interpreter.run(IMAGES)
    return kept


@pytest.mark.parametrize("branch", ENDINGS.values(), ids=ENDINGS)
def test_rows_and_weights_give_what_the_branch_adds(branch):
    network = read(branch)
    found = last_maps(network)
    assert sorted(found) == [1, 2]

    for number, (_, site) in enumerate(network.kept(), start=1):
        last, values = found[number], inputs_of(network, None)
        weight, constant = last.affine()
        rows = last.rows(values[last.source.name])
        added = values[site.branch]
        expected = last.targets(last.undone(added))
        assert torch.allclose(rows @ weight.T + constant, expected, atol=1e-5)
        assert torch.allclose(last.computed(values[last.source.name]), added, atol=1e-6)


@pytest.mark.parametrize("branch", OTHERS.values(), ids=OTHERS)
def test_branches_that_end_in_something_else_have_none(branch):
    assert last_maps(read(branch)) == {}


def test_a_layer_that_is_called_twice_is_none():
    shared = nn.Sequential(nn.ReLU(), conv())
    network = read(lambda: shared)

    assert last_maps(network) == {}
