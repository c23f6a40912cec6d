"""The smallest weights become zero and stay so; dense and effective MACs are told apart."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, weight_norm

from autodepth.errors import InputError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.magnitude import (
    apply_masks,
    effective_macs,
    magnitude_masks,
    weights_left_alone,
)
from autodepth.networks.residual_network import ResidualNetwork


def small(name="resnet14", size=8):
    return build_network(NetworkSpec(name=name, classes=4, height=size, width=size), seed=1)


def weights(network):
    return {
        name: parameter
        for name, parameter in network.module.named_parameters()
        if parameter.ndim > 1
    }


@pytest.mark.parametrize("scope", ["network", "layer"])
def test_exactly_the_share_of_smallest_weights_goes(scope):
    network = small()
    masks = magnitude_masks(network, 0.75, scope)
    sizes = {name: weight.detach().abs() for name, weight in weights(network).items()}

    assert masks.keys() == sizes.keys()
    groups = [list(sizes)] if scope == "network" else [[name] for name in sizes]
    for group in groups:
        size = torch.cat([sizes[name].flatten() for name in group])
        stays = torch.cat([masks[name].flatten() for name in group])
        assert (~stays).sum() == int(0.75 * len(size))
        assert size[~stays].max() <= size[stays].min()


def test_the_scopes_differ_where_layers_do():
    network = small()
    with torch.no_grad():
        network.module.get_submodule("conv1").weight.add_(100)

    assert magnitude_masks(network, 0.5, "network")["conv1.weight"].all()
    assert magnitude_masks(network, 0.5, "layer")["conv1.weight"].float().mean() == 0.5


def test_dense_macs_stay_and_effective_macs_follow_the_zeros():
    network = small()
    dense = network.total_macs
    assert effective_macs(network) == dense

    apply_masks(network, magnitude_masks(network, 0.5, "layer"))

    assert network.total_macs == dense
    assert effective_macs(network) == dense / 2


class AttentionBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 8)

    def forward(self, x):
        return self.head(x + self.attention(x, x, x, need_weights=False)[0])


def test_attention_projections_are_pruned_and_its_products_are_not():
    tokens, width = 5, 8
    network = ResidualNetwork.from_module(AttentionBlock(), (tokens, width))
    products = 2 * tokens * tokens * width
    assert network.total_macs == products + 5 * tokens * width * width

    apply_masks(network, magnitude_masks(network, 0.5, "layer"))

    assert effective_macs(network) == products + 5 * tokens * width * width / 2


def test_ties_are_broken_by_position():
    network = small()
    with torch.no_grad():
        for weight in weights(network).values():
            weight.fill_(1.0)

    masks = magnitude_masks(network, 0.5, "layer")

    assert all(mask.float().mean() == 0.5 for mask in masks.values())
    assert not masks["conv1.weight"].flatten()[:216].any()


def test_zeros_stay_zero_while_fine_tuning():
    network = small()
    masks = magnitude_masks(network, 0.9)
    apply_masks(network, masks)
    optimizer = torch.optim.SGD(network.module.parameters(), 0.1, momentum=0.9)
    for _ in range(3):
        loss = F.cross_entropy(network.module(torch.randn(4, 3, 8, 8)), torch.arange(4))
        loss.backward()
        optimizer.step()
        apply_masks(network, masks)

    zeros = {name: weight == 0 for name, weight in weights(network).items()}
    assert all(torch.equal(zeros[name], ~mask) for name, mask in masks.items())


def test_masks_outlive_the_removal_of_branches():
    network = small()
    masks = magnitude_masks(network, 0.5)
    smaller = network.without([2, 3])

    apply_masks(smaller, masks)

    assert effective_macs(smaller) < smaller.total_macs


@pytest.mark.parametrize("arguments", [(1.0,), (-0.5,), (0.5, "stage")])
def test_arguments_outside_their_range_are_refused(arguments):
    with pytest.raises(InputError, match="must be"):
        magnitude_masks(small(), *arguments)


class OwnConvolution(nn.Conv2d):
    """A subclass that computes what its parent does."""

    def forward(self, x):
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding)


class Standardised(nn.Conv2d):
    """Weights with mean 0 and deviation 1: a zero of the parameter is none of the product's."""

    def forward(self, x):
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        deviation = self.weight.std((1, 2, 3), keepdim=True) + 1e-5
        return F.conv2d(x, (self.weight - mean) / deviation, self.bias, self.stride, self.padding)


class OwnLayer(nn.Module):
    """A layer whose parameter is read by an operator alone, over channels."""

    def __init__(self, multiply):
        super().__init__()
        self.weight, self.multiply = nn.Parameter(torch.randn(8, 8)), multiply

    def forward(self, x):
        return self.multiply(x.movedim(1, -1), self.weight).movedim(-1, 1)


LAYERS = {
    "a subclass": lambda: OwnConvolution(8, 8, 3, padding=1),
    "linear": lambda: OwnLayer(F.linear),
    "matmul": lambda: OwnLayer(torch.matmul),
    "operator": lambda: OwnLayer(lambda x, w: x @ w.T),
    "einsum": lambda: OwnLayer(lambda x, w: torch.einsum("bhwi,oi->bhwo", x, w)),
    "transposed": lambda: nn.ConvTranspose2d(8, 8, 1),
    "grouped": lambda: nn.Conv2d(8, 8, 3, padding=1, groups=2),
}


class Residual(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.first, self.layer = nn.Conv2d(8, 8, 1), layer

    def forward(self, x):
        return x + self.layer(torch.relu(self.first(x)))


def with_layer(layer):
    torch.manual_seed(3)
    return ResidualNetwork.from_module(nn.Sequential(Residual(layer)), (8, 6, 6))


@pytest.mark.parametrize("name", LAYERS)
def test_weights_are_pruned_whatever_module_holds_them(name):
    network = with_layer(LAYERS[name]())
    masks = magnitude_masks(network, 0.5, "layer")
    apply_masks(network, masks)

    assert masks.keys() == weights(network).keys()
    assert effective_macs(network) == network.total_macs / 2
    assert not weights_left_alone(network)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (lambda: Standardised(8, 8, 1), "0.layer.weight"),
        (
            lambda: parametrizations.spectral_norm(nn.Conv2d(8, 8, 1)),
            "0.layer.parametrizations.weight.original",
        ),
        (lambda: weight_norm(nn.Conv2d(8, 8, 1)), "0.layer.weight_g and 1 more"),
    ],
)
def test_weights_that_others_are_computed_from_are_left_alone_and_told(layer, name):
    network = with_layer(layer())
    masks = magnitude_masks(network, 0.5, "layer")
    apply_masks(network, masks)

    assert masks.keys() == {"0.first.weight"}
    assert effective_macs(network) == network.total_macs * 3 / 4
    assert f"multiplies by {name} as they are" in weights_left_alone(network)
    assert "reaches 1 of " in weights_left_alone(network)


def test_a_network_of_other_layers_alone_is_pruned_nowhere_and_says_so():
    layers = [Residual(Standardised(8, 8, 1)), Residual(Standardised(8, 8, 1))]
    for layer in layers:
        layer.first = Standardised(8, 8, 1)
    network = ResidualNetwork.from_module(nn.Sequential(*layers), (8, 6, 6))

    assert magnitude_masks(network, 0.5) == {}
    assert effective_macs(network) == network.total_macs
    assert weights_left_alone(network).startswith(
        "weight_sparsity reaches 0 of 4 weight tensors, 0%"
    )
