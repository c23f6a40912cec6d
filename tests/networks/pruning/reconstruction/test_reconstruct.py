"""A smaller network is given the features of the whole one, in closed form."""

import pytest
import torch
from torch import nn

from autodepth.errors import NetworkError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.reconstruction.last_maps import last_maps
from autodepth.networks.pruning.reconstruction.reconstruct import reconstruct
from autodepth.networks.pruning.stream_width import with_stream_width
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork

BATCHES = list(torch.randn(96, 3, 16, 16, generator=torch.Generator().manual_seed(0)).split(40))


def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def whole():
    """A network with statistics and norms as training leaves them, not as it begins."""
    network = build_network(NetworkSpec(name="resnet20", height=16, width=16), seed=1)
    draws = generator()
    with torch.no_grad():
        for module in network.module.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(torch.rand(module.weight.shape, generator=draws) + 0.5)
                module.bias.copy_(torch.randn(module.bias.shape, generator=draws) / 4)
        network.module.train()
        for _ in range(60):
            network.module(BATCHES[0])
    network.module.eval()
    return network


@torch.no_grad()
def error(whole, smaller):
    """Mean squared difference of the class scores, relative to their size."""
    told, wanted = (torch.cat([n.module(b) for b in BATCHES]) for n in (smaller, whole))
    return ((told - wanted).square().mean() / wanted.var()).item()


class Steps(nn.Module):
    """Branches of which the second adds a constant."""

    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1)) for _ in range(3)
        )
        nn.init.zeros_(self.branches[1][1].weight)

    def forward(self, x):
        for branch in self.branches:
            x = x + branch(x)
        return x.mean((2, 3))


def test_a_constant_branch_moves_into_the_one_before():
    torch.manual_seed(0)
    whole = ResidualNetwork.from_module(Steps(), (3, 16, 16))
    smaller = whole.without([2])
    assert error(whole, smaller) > 1e-3
    found = reconstruct(whole, smaller, BATCHES, generator())

    assert found.solved == (1, 3)
    assert error(whole, smaller) < 1e-8


@pytest.mark.parametrize("removed", [(2,), (4, 5), (2, 3, 5, 8)])
def test_it_computes_more_like_the_whole_one_than_with_statistics_alone(whole, removed):
    recalibrated, smaller = whole.without(removed), whole.without(removed)
    recalibrated.module.train()
    with torch.no_grad():
        for _ in range(60):
            recalibrated.module(BATCHES[0])
    recalibrated.module.eval()
    found = reconstruct(whole, smaller, BATCHES, generator())

    assert not found.left
    assert error(whole, smaller) < 0.7 * error(whole, recalibrated)


def test_narrower_branches_are_fitted_too(whole):
    narrow, smaller = (prune_width(whole, 0.5) for _ in range(2))
    reconstruct(whole, smaller, BATCHES, generator())

    assert error(whole, smaller) < 0.7 * error(whole, narrow)


def test_nothing_removed_changes_nothing_but_statistics(whole):
    smaller = whole.without([])
    found = reconstruct(whole, smaller, BATCHES, generator())

    assert found.solved == ()
    for (name, mine), theirs in zip(
        smaller.module.named_parameters(), whole.module.parameters(), strict=True
    ):
        assert torch.equal(mine, theirs), name


def test_the_whole_network_stays_and_the_same_comes_again(whole):
    before = {name: value.clone() for name, value in whole.module.state_dict().items()}
    one, two = whole.without([2, 5]), whole.without([2, 5])
    for smaller in (one, two):
        reconstruct(whole, smaller, BATCHES, generator())

    assert all(torch.equal(value, before[n]) for n, value in whole.module.state_dict().items())
    for mine, theirs in zip(one.module.parameters(), two.module.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert not one.module.training


def test_in_training_mode_it_computes_the_same_as_in_evaluation(whole):
    """The norms that were written hold what batches say, so fine-tuning begins from there."""
    smaller = whole.without([4, 5])
    images = torch.cat(BATCHES)
    reconstruct(whole, smaller, [images], generator())
    with torch.no_grad():
        told = smaller.module.eval()(images)
        assert torch.allclose(smaller.module.train()(images), told, atol=1e-3)


def test_weights_that_a_norm_follows_stay_as_long_as_they_were(whole):
    """What is computed does not depend on it, but how far a step of training takes them does."""
    smaller = whole.without([4, 5])
    lengths = {
        n: last.layer.weight.flatten(1).norm(dim=1) for n, last in last_maps(smaller).items()
    }
    found = reconstruct(whole, smaller, BATCHES, generator())

    assert found.solved
    for number in found.solved:
        last = last_maps(smaller)[number]
        assert last.norm is not None
        assert torch.allclose(last.layer.weight.flatten(1).norm(dim=1), lengths[number], rtol=1e-4)


def test_branches_without_a_last_map_are_told():
    class Ends(Steps):
        def __init__(self):
            super().__init__()
            self.branches[0].append(nn.Tanh())

    torch.manual_seed(0)
    whole = ResidualNetwork.from_module(Ends(), (3, 16, 16))
    found = reconstruct(whole, whole.without([2]), BATCHES, generator())

    assert found.left == (1,)
    assert found.solved == (3,)


def test_a_narrower_stream_is_refused(whole):
    smaller = with_stream_width(whole.without([2]), 0.5, choose="magnitude")
    with pytest.raises(NetworkError, match="as wide as the whole network's, but at branch"):
        reconstruct(whole, smaller, BATCHES, generator())
