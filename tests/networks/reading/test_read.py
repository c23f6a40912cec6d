"""Whatever residual network somebody writes: it is read as it is, or refused.

Networks are drawn; each can leave blocks out by itself, which is the reference for removal.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from torch import nn

from autodepth.errors import NetworkError
from autodepth.networks.residual_network import ResidualNetwork

C, SHAPE = 4, (3, 8, 8)
IMAGES = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))

NORMS = {
    "batch": nn.BatchNorm2d,
    "group": lambda c: nn.GroupNorm(2, c),
    "instance": lambda c: nn.InstanceNorm2d(c, affine=True),
    "none": nn.Identity,
}
ACTIVATIONS = {  # how it is applied, and whether what it was given is changed by it
    "relu": F.relu,
    "relu in place": lambda x: F.relu(x, inplace=True),
    "by place": lambda x: F.relu(x, True),
    "method": lambda x: x.relu_(),
    "leaky": lambda x: F.leaky_relu_(x, 0.1),
    "silu": lambda x: F.silu(x, inplace=True),
    "gelu": F.gelu,
    "half": lambda x: x.mul_(0.5),
}
ADDITIONS = {
    "x + f": lambda x, f: x + f,
    "f + x": lambda x, f: f + x,
    "torch.add": torch.add,
    "other": lambda x, f: torch.add(x, other=f),
    "method": lambda x, f: x.add(f),
    "f += x": lambda x, f: f.add_(x),
    "alpha": lambda x, f: torch.add(x, f, alpha=0.5),
    "minus": lambda x, f: x - (-f),
    "stack": lambda x, f: torch.stack([x, f]).sum(0),
}
SHORTCUTS = ("identity", "projection", "pool", "activation", "norm")


class RandomDepth(nn.Module):
    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, x):
        if not self.training:
            return x
        kept = torch.rand(len(x), 1, 1, 1) >= self.rate
        return x * kept / (1 - self.rate)


class Wrapped(nn.Module):
    """A wrapper that does nothing of its own."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, *args, **kwargs):
        return self.inner(*args, **kwargs)


class Block(nn.Module):
    def __init__(self, plan):
        super().__init__()
        self.plan = plan
        self.conv, self.norm = nn.Conv2d(C, C, 3, padding=1), NORMS[plan["norm"]](C)
        self.project = nn.Conv2d(C, C, 1) if plan["shortcut"] == "projection" else None
        self.side = nn.BatchNorm2d(C) if plan["shortcut"] == "norm" else None
        self.depth = RandomDepth(0.3) if plan["depth"] else None
        self.drop = nn.Dropout(plan["dropout"], inplace=plan["drop_in_place"])
        self.second = nn.Conv2d(C, C, 1) if plan["paths"] > 1 else None

    def shortcut(self, x):
        kind = self.plan["shortcut"]
        if kind == "projection":
            return self.project(x)
        if kind == "norm":
            return self.side(x)
        if kind == "pool":
            return F.avg_pool2d(x, 3, 1, 1)
        return torch.tanh(x) if kind == "activation" else x

    def forward(self, x, skip=False):
        act, add = ACTIVATIONS[self.plan["activation"]], ADDITIONS[self.plan["addition"]]
        y = act(x) if self.plan["first"] else x  # in place it changes the shortcut, too
        carried = self.shortcut(x)
        if skip:
            return act(carried) if self.plan["last"] else carried
        f = self.norm(self.conv(y))
        if self.second is not None:
            f = f + torch.sigmoid(self.second(y)) * f
        f = self.drop(f)
        if self.depth is not None:
            f = self.depth(f)
        total = add(carried, f)
        return act(total) if self.plan["last"] else total


class Net(nn.Module):
    def __init__(self, plan):
        super().__init__()
        torch.manual_seed(plan["seed"])
        self.plan = plan
        blocks = [Block(each) for each in plan["blocks"]]
        if plan["shared"]:
            blocks[-1].conv = blocks[0].conv
        if plan["wrapped"]:
            blocks[-1] = Wrapped(blocks[-1])
        self.stem, self.blocks = nn.Conv2d(3, C, 3, padding=1), nn.ModuleList(blocks)
        self.head = nn.Linear(C, 3)
        if plan["hook"] == "block":
            self.blocks[0].register_forward_hook(lambda _, __, value: value * 1.5)
        elif plan["hook"] == "network":
            self.register_forward_pre_hook(lambda _, args: (args[0] - 0.5, *args[1:]))
        elif plan["hook"] == "head":
            self.head.register_forward_pre_hook(lambda _, args: (args[0] * 2,))

    def train(self, mode=True):
        super().train(mode)
        frozen = {"norms": nn.BatchNorm2d, "dropout": nn.Dropout}.get(self.plan["frozen"], ())
        for part in self.modules():
            if isinstance(part, frozen):
                part.eval()
        return self

    def forward(self, x, skip=()):
        x = self.stem(x)
        asked = {"isinstance": isinstance(x, torch.Tensor), "type": type(x) is torch.Tensor}
        if asked.get(self.plan["asks"], False):
            x = x * 2
        for number, block in enumerate(self.blocks):
            x = block(x, skip=number in skip)
        return self.head(x.mean((2, 3)))


block_plans = st.fixed_dictionaries(
    {
        "norm": st.sampled_from(sorted(NORMS)),
        "activation": st.sampled_from(sorted(ACTIVATIONS)),
        "addition": st.sampled_from(sorted(ADDITIONS)),
        "shortcut": st.sampled_from(SHORTCUTS),
        "first": st.booleans(),
        "last": st.booleans(),
        "depth": st.booleans(),
        "dropout": st.sampled_from([0.0, 0.3]),
        "drop_in_place": st.booleans(),
        "paths": st.sampled_from([1, 1, 2]),
    }
)
plans = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 1000),
        "blocks": st.lists(block_plans, min_size=1, max_size=3),
        "shared": st.booleans(),
        "wrapped": st.booleans(),
        "hook": st.sampled_from(["none", "block", "network", "head"]),
        "frozen": st.sampled_from(["none", "norms", "dropout"]),
        "asks": st.sampled_from(["nothing", "nothing", "isinstance", "type"]),
    }
)


def gave(module, *, training, **skip):
    module = copy.deepcopy(module).train(training)
    for part in module.modules():
        if isinstance(part, RandomDepth):
            part.eval()  # the gates take its place
    torch.manual_seed(5)
    value = module(IMAGES.clone(), **skip)
    try:
        value.square().sum().backward()
    except RuntimeError:  # its author cannot train it either
        return value.detach(), None, dict(module.named_buffers())
    gradients = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
    return value.detach(), gradients, dict(module.named_buffers())


def outcome(plan):
    """Read the network of a plan and look whether it is that; return what became of it."""
    module = Net(plan)
    before = copy.deepcopy(module.state_dict())
    flags = [(part.training, getattr(part, "inplace", None)) for part in module.modules()]
    try:
        network = ResidualNetwork.from_module(module, SHAPE)
    except NetworkError as refused:
        network, said = None, str(refused)
    assert all(torch.equal(before[name], t) for name, t in module.state_dict().items())
    now = [(part.training, getattr(part, "inplace", None)) for part in module.modules()]
    assert flags == now
    if network is None:
        assert "another network" in said or "no residual branch" in said, said
        return "refused: another network" if "another" in said else "refused: no branch"
    for training in (False, True):
        one, gradients, buffers = gave(module, training=training)
        other, read_gradients, read_buffers = gave(network.module, training=training)
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)
        assert all(
            torch.allclose(t, read_buffers[n]) for n, t in buffers.items() if n in read_buffers
        )
        if gradients is not None:
            assert gradients.keys() == read_gradients.keys()
            assert all(
                torch.allclose(g, read_gradients[n], 1e-3, 1e-4) for n, g in gradients.items()
            )
    removed = 0
    for branch in network.branches if branch_of_blocks(network) else ():
        number = int(branch.module.split(".")[1])
        if branch.removable:
            by_hand = gave(module, training=False, skip={number})[0]
            slim = network.without([branch.index]).module
            assert torch.equal(by_hand, gave(slim, training=False)[0])
            removed += 1
    return "equal, removed by hand" if removed else "equal"


def branch_of_blocks(network):
    """Whether each branch is a block's, one to one."""
    blocks = [".".join(b.module.split(".")[:2]) for b in network.branches]
    return len(set(blocks)) == len(blocks)


ANY = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=100, derandomize=True, **ANY)
@given(plans)
def test_a_network_is_read_as_it_is_or_refused(plan):
    event(outcome(plan))


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(max_examples=2000, **ANY)
@given(plans)
def test_many_networks_are_read_as_they_are_or_refused(plan):
    event(outcome(plan))
