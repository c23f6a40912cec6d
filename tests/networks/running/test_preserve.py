"""Finding branches leaves the network it is shown as it was, whatever that assigns to itself."""

import copy

import pytest
import torch
from torch import nn

from autodepth.errors import NetworkError
from autodepth.networks.residual_network import ResidualNetwork

SHAPE = (4, 8, 8)
IMAGES = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))


class Keeping(nn.Module):
    """x + f(x) that keeps something of each run, as each test says."""

    def __init__(self, keep=None):
        super().__init__()
        self.conv, self.inner = nn.Conv2d(4, 4, 3, padding=1), nn.Identity()
        self.last, self.seen, self.cache = None, [], {"size": 8}
        self.register_buffer("mask", torch.ones(1, 4, 1, 1))
        self.register_buffer("scratch", None, persistent=False)
        self._keep = keep

    def forward(self, x):
        y = self.conv(x)
        if self._keep is not None:
            self._keep(self, y)
        return x + y


class Choosy(Keeping):
    """Keeps something, then cannot be traced."""

    def forward(self, x):
        y = super().forward(x)
        return y if y.mean() > 0 else -y


def attribute(block, x):
    block.last = x


def new_attribute(block, x):
    block.features = x


def attribute_of_a_submodule(block, x):
    block.inner.last = x


def item(block, x):
    block.seen.append(x)
    block.cache["features"] = x


def buffer(block, x):
    block.mask = x.mean((0, 2, 3), keepdim=True)


def new_buffer(block, x):
    block.register_buffer("features", x)


def empty_buffer(block, x):
    block.scratch = x.detach()


def submodule(block, x):
    block.late = nn.Identity()


def lost(block, x):
    block.cache.clear()
    del block.last
    del block.mask


def made_once(block, x):
    if block.last is None:
        block.last = torch.arange(x.shape[-1], device=x.device)
    x.add_(block.last)


KEEP = [
    *(attribute, new_attribute, attribute_of_a_submodule, item, buffer, new_buffer),
    *(empty_buffer, submodule, lost, made_once),
]


def state_of(module):
    """Return every attribute of every submodule, containers and tensors by identity."""
    return {
        (name, key): list(value.items())
        if isinstance(value, dict)
        else (list(value) if isinstance(value, list | set) else value)
        for name, part in module.named_modules()
        for key, value in vars(part).items()
    }


def same(one, other):
    """Compare like `==`, but tensors and modules by identity."""
    if isinstance(one, list | tuple) and type(one) is type(other):
        return len(one) == len(other) and all(map(same, one, other))
    return one is other or (not isinstance(one, torch.Tensor) and one == other)


def assert_as_it_was(module, before):
    after = state_of(module)

    assert before.keys() == after.keys()
    assert [key for key in before if not same(before[key], after[key])] == []


@pytest.mark.parametrize("keep", KEEP)
@pytest.mark.parametrize("block", [Keeping, Choosy])
def test_what_a_forward_assigns_is_undone(keep, block):
    module = nn.Sequential(nn.Conv2d(4, 4, 1), Keeping(), block(keep)).train()
    module[1].eval()
    before = state_of(module)

    network = ResidualNetwork.from_module(module, SHAPE)

    assert_as_it_was(module, before)
    assert network.branches[0].module == "1"


@pytest.mark.parametrize("keep", KEEP)
def test_what_a_forward_assigns_is_undone_when_the_network_cannot_be_traced(keep):
    module = Choosy(keep)
    before = state_of(module)

    with pytest.raises(NetworkError, match="cannot be traced"):
        ResidualNetwork.from_module(module, SHAPE)

    assert_as_it_was(module, before)


@pytest.mark.parametrize("keep", [attribute, new_attribute, item, made_once])
def test_a_network_that_keeps_its_feature_maps_computes_what_it_did(keep):
    module = nn.Sequential(nn.Conv2d(4, 4, 1), Keeping(keep), Keeping(keep))
    untouched = copy.deepcopy(module)
    network = ResidualNetwork.from_module(module, SHAPE)

    assert [branch.module for branch in network.branches] == ["1", "2"]
    assert network.without([1]).module.state_dict().keys() < untouched.state_dict().keys()
    assert torch.equal(network.module.eval()(IMAGES), untouched.eval()(IMAGES))


def test_a_layer_kept_whole_leaves_nothing_behind_that_cannot_be_copied():
    module = nn.Sequential(nn.Conv2d(4, 4, 1), Keeping(), Choosy(attribute))
    network = ResidualNetwork.from_module(module, SHAPE)

    smaller = network.without([1])

    assert module[2].last is None
    assert [note[:18] for note in smaller.notes] == ["not looked into: 2"]


def test_what_a_failed_attempt_left_does_not_hide_the_sizes_that_come_after_it():
    class Cached(nn.Module):
        last = None

        def forward(self, x):
            if self.last is None:
                self.last = x * 2
            return torch.stack(list(x)) + self.last  # a loop over the batch cannot be traced

    class Padding(Keeping):
        def forward(self, x):
            return super().forward(x) if x.shape[2] % 2 == 0 else x

    network = ResidualNetwork.from_module(nn.Sequential(Keeping(), Cached(), Padding()), SHAPE)

    assert [branch.module for branch in network.branches] == ["0", "2"]
