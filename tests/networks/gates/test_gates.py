"""Gates skip what is dropped; with every gate open nothing differs from the plain network."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.gates.folding import fold_survival
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.residual_network import ResidualNetwork

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3])


def small(shortcut="A"):
    return build_network(NetworkSpec(name="resnet14", height=8, width=8, shortcut=shortcut), seed=1)


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_bypassing_any_branch_equals_removing_it_bit_for_bit(shortcut):
    network = small(shortcut)
    gated = GatedNetwork(network)
    gated.eval()

    for branch in network.branches:
        gated.bypass(branch.index)
        removed = network.without([branch.index]).module.eval()

        assert torch.equal(gated(IMAGES), removed(IMAGES))


def test_open_gates_compute_the_plain_network_bit_for_bit():
    network = small()
    gated = GatedNetwork(network)
    gated.eval()
    gated.open_all()

    assert torch.equal(gated(IMAGES), network.module.eval()(IMAGES))


def test_survival_one_trains_exactly_the_plain_network():
    plain, network = small(), small()
    gated, generator = GatedNetwork(network), torch.Generator().manual_seed(3)
    losses = []
    for forward, module in ((plain.module, plain.module), (gated, network.module)):
        module.train()
        optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
        for _ in range(5):
            if forward is gated:
                assert gated.draw([1.0] * 6, generator) == 6
            loss = F.cross_entropy(forward(IMAGES), LABELS)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

    assert losses[:5] == losses[5:]


def test_a_dropped_branch_is_not_computed_and_nothing_of_it_moves():
    network = small()
    gated = GatedNetwork(network)
    gated.train()
    gated.bypass(2)
    dropped = network.module.get_submodule("layer1.1")
    before = copy.deepcopy(dropped.state_dict())
    calls = []
    dropped.conv1.register_forward_hook(lambda *_: calls.append(1))
    optimizer = torch.optim.SGD(network.module.parameters(), 0.1, weight_decay=0.1)

    F.cross_entropy(gated(IMAGES), LABELS).backward()
    optimizer.step()

    assert not calls
    assert all(parameter.grad is None for parameter in dropped.parameters())
    assert all(torch.equal(value, before[key]) for key, value in dropped.state_dict().items())


def test_training_goes_on_with_every_branch_dropped_after_activations_in_place():
    spec = NetworkSpec(name="torchvision:resnet18", classes=4, height=32, width=32)
    network = build_network(spec)
    gated = GatedNetwork(network)
    gated.train()
    gated.draw([0.0] * 8, torch.Generator())

    F.cross_entropy(gated(torch.randn(4, 3, 32, 32)), LABELS).backward()

    assert network.module.get_submodule("conv1").weight.grad is not None


def test_gates_open_as_often_as_their_survival_says():
    gated, generator = GatedNetwork(small()), torch.Generator().manual_seed(0)
    survival = [1.0, 0.9, 0.7, 0.5, 0.3, 0.1]
    draws = 4000

    mean = sum(gated.draw(survival, generator) for _ in range(draws)) / draws

    spread = math.sqrt(sum(p * (1 - p) for p in survival) / draws)
    assert mean == pytest.approx(sum(survival), abs=4 * spread)


def test_equal_generators_draw_equal_gates():
    gated = GatedNetwork(small())
    draws = [
        [gated.draw([0.5] * 6, generator) for _ in range(20)]
        for generator in (torch.Generator().manual_seed(7), torch.Generator().manual_seed(7))
    ]

    assert draws[0] == draws[1]


class LinearToy(nn.Module):
    """A stack of linear residual blocks: its expectation over gates is its test-time output."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x)
        return x


def test_the_mean_over_gates_of_a_linear_network_is_its_test_time_output():
    torch.manual_seed(0)
    network = ResidualNetwork.from_module(LinearToy(), (1, 2, 6))
    gated, generator = GatedNetwork(network), torch.Generator().manual_seed(1)
    survival, x, draws = [0.9, 0.6, 0.5], torch.randn(1, 6), 4000
    outputs = []
    with torch.no_grad():
        for _ in range(draws):
            gated.draw(survival, generator)
            outputs.append(gated(x))
        gated.open_all(survival)
        expected = gated(x)
    sample = torch.cat(outputs)

    error = (sample.mean(0) - expected[0]).abs()

    assert (error <= 5 * sample.std(0) / math.sqrt(draws)).all()


@pytest.mark.parametrize(
    ("name", "size"), [("resnet20", 8), ("torchvision:resnet18", 32), ("torchvision:vit_b_16", 224)]
)
def test_folding_survival_differs_from_scaling_by_rounding_alone(name, size):
    network = build_network(NetworkSpec(name=name, classes=4, height=size, width=size))
    survival = [1.0 - 0.5 * b.index / len(network.branches) for b in network.branches]
    gated = GatedNetwork(network)
    gated.eval()
    gated.open_all(survival)
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        scaled = gated(images)
        fold_survival(
            network, {b.index: p for b, p in zip(network.branches, survival, strict=True)}
        )
        folded = network.module.eval()(images)

    assert torch.allclose(scaled, folded, rtol=1e-5, atol=1e-6 * scaled.abs().max().item())
