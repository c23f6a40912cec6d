"""Channels that can go are found in any network, and those that cannot are left alone with why."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autodepth.networks.costs.cost import count_macs
from autodepth.networks.pruning.channels.narrowing import find_narrowing
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork

C = 8


class Net(nn.Module):
    """Two blocks of one kind between a stem and a head."""

    def __init__(self, block):
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(3, C, 3, padding=1), nn.Sequential(block(), block())
        self.head = nn.Linear(C, 4)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Residual(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.body(x)


class Excited(nn.Module):
    """Squeeze and excitation between two convolutions, sizes read as most people do."""

    def __init__(self, inner=12):
        super().__init__()
        self.one, self.two = nn.Conv2d(C, inner, 3, padding=1), nn.Conv2d(inner, C, 1)
        self.squeeze, self.excite = nn.Linear(inner, 6), nn.Linear(6, inner)

    def forward(self, x):
        y = F.relu(self.one(x))
        b, c, _, _ = y.size()
        s = F.adaptive_avg_pool2d(y, 1).view(b, c)
        s = torch.sigmoid(self.excite(F.relu(self.squeeze(s)))).view(b, c, 1, 1)
        return x + self.two(y * s.expand_as(y))


class Function(nn.Module):
    """Two layers with a function between them."""

    def __init__(self, function, layers=None):
        super().__init__()
        self.function = function
        self.one, self.two = layers or (nn.Conv2d(C, 12, 1), nn.Conv2d(12, C, 1))

    def forward(self, x):
        return x + self.two(self.function(self.one(x)))


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(C), nn.Linear(C, 16), nn.Linear(16, C)

    def forward(self, x):
        t = x.flatten(2).transpose(1, 2)
        t = self.down(F.gelu(self.up(self.norm(t))))
        return x + t.transpose(1, 2).reshape(x.shape)


def convs(*between, groups=1):
    return Residual(nn.Conv2d(C, 12, 1), *between, nn.Conv2d(12, C, 1, groups=groups))


CAN = {
    "batch norm": lambda: convs(nn.BatchNorm2d(12), nn.ReLU(inplace=True)),
    "batch norm without weights": lambda: convs(nn.BatchNorm2d(12, affine=False)),
    "group norm": lambda: convs(nn.GroupNorm(3, 12)),
    "depthwise": lambda: convs(nn.Conv2d(12, 12, 3, padding=1, groups=12)),
    "groups": lambda: convs(nn.Conv2d(12, 12, 3, padding=1, groups=3), nn.ReLU(), groups=2),
    "squeeze and excitation": Excited,
    "tokens": Tokens,
    "pooled and back": lambda: Function(lambda y: F.interpolate(F.avg_pool2d(y, 2), size=(8, 8))),
    "channels last and back": lambda: Function(
        lambda y: F.silu(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    ),
    "flattened by its own size": lambda: Function(
        lambda y: y.view(y.size(0), y.size(1), -1).view(y.shape[0], y.shape[1], 8, 8)
    ),
    "in place": lambda: Function(lambda y: y.mul_(2.0).clamp_(min=0)),
    "two paths": lambda: Function(lambda y: torch.where(y > 0, y, 0.1 * y) + y.sigmoid()),
}
CANNOT = {
    "heads": (lambda y: y.view(-1, 2, 6, 8, 8).softmax(2).reshape(y.shape), "view"),
    "softmax": (lambda y: y.softmax(1), "softmax"),
    "normalised": (lambda y: F.normalize(y, dim=1), "normalize"),
    "shuffled": (lambda y: y.unflatten(1, (3, 4)).transpose(1, 2).reshape(y.shape), "unflatten"),
    "turned round": (lambda y: y.flip(1), "flip"),
    "added up": (lambda y: y.cumsum(1), "cumsum"),
    "neighbours": (lambda y: y + y.roll(1, 1), "roll"),
    "Gram matrix": (
        lambda y: torch.einsum("bchw,bdhw->bcd", y, y).mean(2)[:, :, None, None],
        "einsum",
    ),
    "one-head attention": (
        lambda y: F.scaled_dot_product_attention(*[y.flatten(2).mT] * 3).mT.reshape(y.shape),
        "attention",
    ),
    "mean of channels": (lambda y: y * y.mean(1, keepdim=True), "mean"),
    "images as channels": (lambda y: y.reshape(1, -1, 8, 8).relu().reshape(y.shape), "reshape"),
}  # fmt: skip


def network_of(block):
    torch.manual_seed(0)
    return ResidualNetwork.from_module(Net(block), (3, 8, 8))


@pytest.mark.parametrize("kind", CAN)
def test_channels_that_pass_through_a_branch_can_go(kind):
    network = network_of(CAN[kind])

    narrow = prune_width(network, 0.5)

    assert find_narrowing(network).left_alone == {}
    assert narrow.total_macs == count_macs(narrow.module, torch.zeros(1, 3, 8, 8))
    assert all(b.macs < a.macs for a, b in zip(network.branches, narrow.branches, strict=True))
    narrow.module.train()(torch.randn(3, 3, 8, 8)).sum().backward()


@pytest.mark.parametrize(
    "kind", sorted(CAN.keys() - {"group norm"})
)  # it takes the mean of the others
def test_taking_out_channels_that_do_nothing_changes_nothing(kind):
    network = network_of(CAN[kind])
    groups = find_narrowing(network).groups
    with torch.no_grad():
        for group in groups:
            silence(network.module.state_dict(), group)
    images = torch.randn(2, 3, 8, 8)

    narrow = prune_width(network, 0.5)

    assert groups
    assert torch.allclose(narrow.module.eval()(images), network.module.eval()(images), atol=1e-5)


def silence(state, group):
    """Set every second channel of each block to zero in all weights."""
    weak = torch.arange(1, group.size, 2)
    for part in (part for part in group.slices if part.tensor.endswith("weight")):
        weight = state[part.tensor]
        if part.groups == 1:
            weight.index_fill_(part.dim, weak, 0.0)
        else:  # each part of the filters reads a block of its own
            for filters in weight.chunk(part.groups):
                filters.index_fill_(1, weak[weak < filters.shape[1]], 0.0)


@pytest.mark.parametrize("kind", CANNOT)
def test_channels_that_are_mixed_stay_and_the_step_is_named(kind):
    function, named = CANNOT[kind]
    network = network_of(lambda: Function(function))

    found = find_narrowing(network)

    assert found.groups == ()
    assert named in found.left_alone[1]
    assert found.told() == [f"widths of branches 1, 2 stay: {found.left_alone[1]}"]
    assert prune_width(network, 0.5).total_macs == network.total_macs


def test_layers_that_share_weights_stay():
    shared = nn.Conv2d(C, C, 1)
    tied = [nn.Conv2d(C, 12, 1), nn.Conv2d(C, 12, 1)]
    tied[1].weight = tied[0].weight
    for block in (
        lambda: Function(F.relu, (shared, shared)),
        lambda: Function(F.relu, (tied.pop(), nn.Conv2d(12, C, 1))),
    ):
        found = find_narrowing(network_of(block))
        assert found.groups == ()
        assert "is used elsewhere too, or shares weights" in found.left_alone[1]
        assert "is not known" not in found.left_alone[1]


def test_a_branch_of_one_layer_and_an_attention_say_so():
    one = find_narrowing(network_of(lambda: Residual(nn.Conv2d(C, C, 1))))

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(C, 2, batch_first=True)

        def forward(self, x):
            t = x.flatten(2).mT
            return x + self.attention(t, t, t, need_weights=False)[0].mT.reshape(x.shape)

    attention = find_narrowing(network_of(Attention))

    assert one.left_alone[1] == "no layer reads another one's channels"
    assert attention.left_alone[1] == "attention heads go with the width of the residual stream"


def test_the_network_is_left_as_it_was():
    network = network_of(CAN["batch norm"])
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    drawn = torch.get_rng_state()

    find_narrowing(network)

    assert network.module.training
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(v, before[k]) for k, v in network.module.state_dict().items())
