"""Growing leaves the function as it was: branches put back, streams and branches made wider."""

import pytest
import torch
from networks.stream_cases import NAMES, images, network_of, off, outputs

from autodepth.errors import InputError
from autodepth.networks.costs.cost import count_macs
from autodepth.networks.pruning.growing import widen_branches, with_branches_back
from autodepth.networks.pruning.stream_width import with_stream_width
from autodepth.networks.pruning.width import prune_width

EXACT = 1e-6


def last_removable(network, count=2):
    return [branch.index for branch in network.branches if branch.removable][-count:]


def same(network, other):
    return all(
        off(outputs(network.module, training=t), outputs(other.module, training=t)) < EXACT
        for t in (False, True)
    )


@pytest.mark.parametrize("name", NAMES)
def test_branches_put_back_leave_the_function_as_it_was_and_learn(name):
    whole = network_of(name)
    gone = last_removable(whole)
    small = with_stream_width(prune_width(whole, 0.25).without(gone), 0.5)

    grown = with_branches_back(small, whole, gone)

    assert grown.removed == ()
    assert same(grown, small)
    assert grown.total_macs == count_macs(grown.module, torch.zeros(1, 3, 32, 32))
    grown.module.train()
    grown.module(images()).square().sum().backward()
    for index in gone:
        prefix = grown.branches[index - 1].module + "."
        learning = [
            bool(p.grad.any())
            for n, p in grown.module.named_parameters()
            if n.startswith(prefix) and p.grad is not None
        ]
        assert any(learning)


@pytest.mark.parametrize("name", NAMES)
def test_a_wider_stream_and_wider_branches_leave_the_function_as_it_was(name):
    half = with_stream_width(network_of(name), 0.5)

    wide = with_stream_width(half, 2.0, seed=1)
    thick = widen_branches(half, 1.5, seed=1)

    assert same(wide, half)
    assert wide.total_macs == network_of(name).total_macs
    assert same(thick, half)
    assert thick.total_macs > half.total_macs


def test_a_stream_without_norms_over_channels_takes_any_width():
    network = network_of("resnet20")

    wide = with_stream_width(network, widths={1: 19, 2: 40, 3: 75}, seed=1)

    assert same(wide, network)
    assert wide.module.get_submodule("conv1").out_channels == 19
    with pytest.raises(InputError, match="here to at least 72, but got 65"):
        with_stream_width(network, widths={1: 19, 2: 40, 3: 65})


def test_a_stream_under_a_layer_norm_takes_multiples_alone():
    with pytest.raises(InputError, match="can only become a multiple of that, but got 144"):
        with_stream_width(network_of("torchvision:convnext_tiny"), {1: 1.5})


def test_what_is_put_back_starts_as_the_donor():
    whole = network_of("resnet20")
    donor = whole.without(())
    with torch.no_grad():
        for parameter in donor.module.parameters():
            parameter.mul_(2)

    grown = with_branches_back(whole.without([5]), whole, [5], donor=donor)

    module = grown.branches[4].module
    state, given = grown.module.state_dict(), donor.module.state_dict()
    assert torch.equal(state[f"{module}.conv1.weight"], given[f"{module}.conv1.weight"])
    assert not state[f"{module}.bn2.weight"].any()
    assert same(grown, whole.without([5]))


def test_what_cannot_grow_is_refused_with_the_reason():
    whole = network_of("resnet20")
    small = whole.without([5])
    with pytest.raises(InputError, match="must be missing, but got 4"):
        with_branches_back(small, whole, [4])
    with pytest.raises(InputError, match="a donor must have"):
        with_branches_back(small, whole, [5], donor=small)
    with pytest.raises(InputError, match="factor of inner channels must be at least 1"):
        widen_branches(small, 0.5)
