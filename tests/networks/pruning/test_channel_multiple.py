"""Channels that stay are multiples of what is asked for, wherever channels go or come."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.costs.cost import count_macs
from autodepth.networks.pruning.channels.groups import ChannelGroup
from autodepth.networks.pruning.growing import widen_branches
from autodepth.networks.pruning.stream_width import with_stream_width
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork


def network_of(name, multiple, size=32):
    spec = NetworkSpec(name=name, height=size, width=size, channel_multiple=multiple)
    return build_network(spec, seed=1)


def channels_of(network: ResidualNetwork) -> dict[str, int]:
    """Return how many channels each convolution gives, by name."""
    modules = network.module.named_modules()
    return {name: layer.out_channels for name, layer in modules if isinstance(layer, nn.Conv2d)}


def changed(before: ResidualNetwork, after: ResidualNetwork) -> set[int]:
    """Return the numbers of channels that are not what they were."""
    were = channels_of(before)
    return {now for name, now in channels_of(after).items() if now != were[name]}


@pytest.mark.parametrize("multiple", [4, 8])
@pytest.mark.parametrize("name", ["resnet14", "torchvision:mobilenet_v3_small"])
def test_what_is_left_of_narrower_branches_is_a_multiple(name, multiple):
    network = network_of(name, multiple)
    for share in (0.3, 0.55, 0.9):
        for fresh in (False, True):
            narrow = prune_width(network, share, fresh=fresh)

            numbers = changed(network, narrow)
            assert numbers
            assert {number % multiple for number in numbers} == {0}
            assert narrow.channel_multiple == multiple
            assert narrow.total_macs == count_macs(narrow.module, torch.zeros(1, 3, 32, 32))
            narrow.module.eval()(torch.randn(2, 3, 32, 32))


def test_depth_wise_layers_have_numbers_that_their_kernels_like():
    name = "torchvision:mobilenet_v3_small"
    plain, rounded = (prune_width(network_of(name, k), 0.37) for k in (1, 4))

    def depth_wise(network):
        layers = [m for m in network.module.modules() if isinstance(m, nn.Conv2d)]
        return [layer.groups for layer in layers if layer.groups > 1]

    assert any(number % 4 for number in depth_wise(plain))
    assert not any(number % 4 for number in depth_wise(rounded))


def test_the_nearest_multiple_stays_and_ever_more_goes():
    network = network_of("resnet14", 4)
    narrow = [prune_width(network, share) for share in (0.1, 0.2, 0.5, 0.7, 0.99)]

    assert [channels_of(each)["layer1.0.conv1"] for each in narrow] == [16, 12, 8, 4, 4]


def test_a_narrower_stream_has_multiples_too():
    narrow = with_stream_width(network_of("resnet14", 8), 0.4)

    assert channels_of(narrow)["layer3.0.conv2"] == 24  # 25.6 of 64
    assert {number % 8 for number in channels_of(narrow).values()} == {0}


def test_wider_branches_have_multiples_and_compute_the_same():
    network = network_of("resnet14", 8, size=16)
    inputs = torch.randn(2, 3, 16, 16)
    wide = widen_branches(network, 1.3)

    assert {number % 8 for number in changed(network, wide)} == {0}
    before, after = (n.module.eval()(inputs) for n in (network, wide))
    assert torch.allclose(before, after, atol=1e-6)


def test_it_outlives_removal_and_a_record():
    spec = NetworkSpec(name="resnet14", channel_multiple=8)

    assert build_network(spec).without([2]).channel_multiple == 8
    assert NetworkSpec.from_dict(spec.to_dict()) == spec
    assert "channel_multiple" not in NetworkSpec(name="resnet14").to_dict()


@settings(deadline=None, max_examples=200)
@given(st.integers(2, 300), st.integers(1, 40), st.floats(0.01, 3))
def test_nearest_is_a_multiple_or_its_own_and_never_past_it(size, multiple, share):
    group = ChannelGroup(branch=1, size=size, multiple=multiple)
    found = group.nearest(share * size)

    assert found == size or found % multiple == 0
    assert found >= 1
    assert found <= size if share <= 1 else found >= size
    assert found in {size, multiple} or abs(found - share * size) <= multiple / 2
