"""The smallest weights become zero and stay so; dense and effective MACs are told apart."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autodepth.errors import InputError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.magnitude_pruning import apply_masks, effective_macs, magnitude_masks
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
