"""Branches get narrower; the residual stream and everything outside of branches stays."""

import pytest
import torch

from autodepth.errors import InputError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.costs.cost import count_macs
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.pruning.width import prune_width


def small():
    return build_network(NetworkSpec(name="resnet14", height=8, width=8), seed=1)


def test_half_the_inner_channels_go_and_the_cost_is_that_of_a_count():
    network = small()
    narrow = prune_width(network, 0.5)

    assert narrow.total_macs == count_macs(narrow.module, torch.zeros(1, 3, 8, 8))
    assert narrow.total_parameters == sum(p.numel() for p in narrow.module.parameters())
    for branch, before in zip(narrow.branches, network.branches, strict=True):
        assert branch.macs * 2 == before.macs
        conv1 = narrow.module.get_submodule(f"{branch.module}.conv1")
        assert (
            conv1.out_channels * 2
            == network.module.get_submodule(f"{branch.module}.conv1").out_channels
        )


def test_each_branch_may_have_a_width_of_its_own():
    network, halved = small(), prune_width(small(), 0.5)
    narrow = prune_width(network, {2: 0.5, 5: 0.75})

    assert narrow.total_macs == count_macs(narrow.module, torch.zeros(1, 3, 8, 8))
    macs = [branch.macs for branch in narrow.branches]
    whole = [branch.macs for branch in network.branches]
    assert macs == [
        whole[0], whole[1] // 2, whole[2], whole[3], whole[4] // 4, whole[5]
    ]  # fmt: skip
    of_all, of_one = (
        n.module.get_submodule(f"{network.branches[1].module}.conv1") for n in (halved, narrow)
    )
    assert torch.equal(of_all.weight, of_one.weight)


def test_the_stream_and_the_network_itself_stay_as_they_were():
    network = small()
    before = {key: value.clone() for key, value in network.module.state_dict().items()}
    narrow = prune_width(network, 0.7).module.state_dict()

    assert all(
        torch.equal(value, before[key]) for key, value in network.module.state_dict().items()
    )
    assert narrow.keys() == before.keys()
    for key, value in before.items():
        inner = any(part in key for part in ("conv1.", "bn1.", "conv2.")) and "layer" in key
        assert inner or torch.equal(narrow[key], value)


def test_the_channels_of_least_magnitude_go():
    network = small()
    conv1, conv2 = (network.module.get_submodule(f"layer1.0.conv{i}") for i in (1, 2))
    with torch.no_grad():
        conv1.weight[::2] = 0
        conv2.weight[:, ::2] = 0
        network.module.get_submodule("layer1.0.bn1").weight[::2] = 0
    kept = conv1.weight[1::2]

    narrow = prune_width(network, 0.5)

    assert torch.equal(narrow.module.get_submodule("layer1.0.conv1").weight, kept)


def test_pruning_channels_that_do_nothing_changes_nothing():
    network = small()
    with torch.no_grad():
        for branch in network.branches:
            conv1, bn1, conv2 = (
                network.module.get_submodule(f"{branch.module}.{name}")
                for name in ("conv1", "bn1", "conv2")
            )
            conv1.weight[::2] = bn1.weight[::2] = bn1.bias[::2] = 0
            conv2.weight[:, ::2] = 0
    images = torch.randn(2, 3, 8, 8)

    narrow = prune_width(network, 0.5)

    assert torch.allclose(narrow.module.eval()(images), network.module.eval()(images), atol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "resnext50_32x4d",
        "regnet_y_400mf",
        "mobilenet_v2",
        pytest.param("efficientnet_b0", marks=pytest.mark.long),  # its parts are of the two above
        "convnext_tiny",
        "vit_b_16",
    ],
)
def test_branches_of_every_family_get_narrower_train_and_can_go(name):
    size = 224 if name == "vit_b_16" else 64
    spec = NetworkSpec(name=f"torchvision:{name}", classes=4, height=size, width=size)
    network = build_network(spec)
    narrow = prune_width(network, 0.5)
    narrower = [
        branch.index
        for branch, before in zip(narrow.branches, network.branches, strict=True)
        if branch.macs < before.macs
    ]

    assert narrow.total_macs < 0.8 * network.total_macs
    assert len(narrower) >= len(network.branches) // 2
    gone = narrow.branches[1]
    smaller = narrow.without([gone.index])
    assert smaller.total_macs == narrow.total_macs - gone.macs
    gated = GatedNetwork(smaller)
    gated.train()
    gated.draw([0.9] * len(smaller.kept()), torch.Generator())
    gated(torch.randn(2, 3, size, size)).sum().backward()


def test_what_was_removed_before_stays_removed():
    narrow = prune_width(small().without([2, 5]), 0.5)

    assert narrow.removed == (2, 5)
    assert [branch.index for branch, _ in narrow.kept()] == [1, 3, 4, 6]
    assert count_macs(narrow.module, torch.zeros(1, 3, 8, 8)) == narrow.total_macs


def test_no_share_changes_nothing_and_flags_are_kept():
    network = small()
    network.module.get_submodule("conv1").weight.requires_grad_(False)

    same = prune_width(network, 0.0)

    assert same.total_macs == network.total_macs
    assert not same.module.get_submodule("conv1").weight.requires_grad
    assert same.module.get_submodule("layer1.0.conv1").weight.requires_grad
    assert same.module.training == network.module.training


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_outside_its_range_is_refused(share):
    with pytest.raises(InputError, match=r"must be in \[0, 1\), but got"):
        prune_width(small(), share)
