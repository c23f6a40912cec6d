"""Weights that are computed from others: trained as they are, plain in what runs elsewhere."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

from autodepth.networks.costs.cost import count_macs
from autodepth.networks.pruning.plain_weights import with_plain_weights
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.trial.device.runtimes.formats.torch_program import make_program, program_macs

SHAPE = (8, 6, 6)
BRANCH = 2 * 36 * 64
KINDS = {
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "older weight_norm": weight_norm,
    "older spectral_norm": spectral_norm,
}
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")


class Branch(nn.Module):
    def __init__(self, parametrise):
        super().__init__()
        self.first, self.second = nn.Conv2d(8, 8, 1), parametrise(nn.Conv2d(8, 8, 1))

    def forward(self, x):
        return x + self.second(torch.relu(self.first(x)))


@pytest.fixture(params=KINDS)
def module(request):
    torch.manual_seed(1)
    return nn.Sequential(*(Branch(KINDS[request.param]) for _ in range(2)))


@pytest.fixture
def images():
    return torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(2))


def test_the_network_keeps_its_parameters_and_gives_the_same(module, images):
    network = ResidualNetwork.from_module(module, SHAPE)

    assert network.module.state_dict().keys() == module.state_dict().keys()
    assert network.total_macs == 2 * BRANCH
    assert torch.equal(network.module.eval()(images), module.eval()(images))


def test_training_moves_what_the_weights_are_computed_from(module, images):
    network = ResidualNetwork.from_module(module, SHAPE)
    network.module.train()(images).sum().backward()

    assert all(p.grad is not None for p in network.module.parameters())


def test_a_copy_made_after_training_is_of_the_weights_then(module, images):
    network = ResidualNetwork.from_module(module, SHAPE)
    network.module.train()(images).sum().backward()  # leaves computed weights in the layers
    with torch.no_grad():
        for parameter in network.module.parameters():
            parameter.mul_(1.5)
    smaller = network.without([1])

    block = network.module.eval().get_submodule("1.second")
    inner = torch.relu(network.module.get_submodule("1.first")(images))
    assert torch.allclose(smaller.module.eval()(images), images + block(inner), atol=1e-6)
    assert count_macs(smaller.module, images[:1]) == smaller.total_macs == BRANCH


def test_plain_weights_give_the_same_and_leave_the_network_as_it_was(module, images):
    network = ResidualNetwork.from_module(module, SHAPE).module.eval()
    keys, expected = network.state_dict().keys(), network(images)
    plain = with_plain_weights(network)

    assert plain.state_dict().keys() == {
        f"{block}.{layer}.{name}"
        for block in (0, 1)
        for layer in ("first", "second")
        for name in ("weight", "bias")
    }
    assert torch.allclose(plain(images), expected, atol=1e-6)
    assert network.state_dict().keys() == keys
    assert torch.equal(network(images), expected)


def test_a_program_is_made_of_plain_weights(module, images):
    network = ResidualNetwork.from_module(module, SHAPE)
    program = make_program(network.module.eval(), SHAPE).module()

    assert program_macs(program, SHAPE) == network.total_macs
    assert torch.allclose(program(images), network.module(images), atol=1e-6)


def test_narrowing_leaves_channels_of_computed_weights_alone(module, images):
    network = ResidualNetwork.from_module(module, SHAPE)
    narrow = prune_width(network, 0.5)

    assert narrow.total_macs == network.total_macs
    assert torch.equal(narrow.module.eval()(images), network.module.eval()(images))


def test_plain_networks_are_not_copied():
    network = nn.Linear(2, 2)

    assert with_plain_weights(network) is network
