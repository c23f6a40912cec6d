"""Stochastic depth that a network brings along is told by what it does, never by its name."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autodepth.errors import NetworkError
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.random_state import generator_states
from autodepth.networks.tracing.sites.own_depth import find_stochastic_depth

SHAPE = (4, 8, 8)
IMAGES = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))
RATE = 0.4


class OfBatch(nn.Module):
    def forward(self, x):
        return x * float(torch.rand(()) >= RATE) if self.training else x


class OfBatchByPython(nn.Module):
    def forward(self, x):
        return x * 0 if self.training and random.random() < RATE else x


class Scaled(nn.Module):
    """One draw per sample, scaled by what survives."""

    def forward(self, x):
        if not self.training:
            return x
        shape = (len(x), *[1] * (x.ndim - 1))
        return x * torch.floor(1 - RATE + torch.rand(shape, device=x.device)) / (1 - RATE)


class ScaledAtTestTime(nn.Module):
    """The rule of Huang et al."""

    def forward(self, x):
        return x * float(torch.rand(()) >= RATE) if self.training else x * (1 - RATE)


class OfTokens(nn.Module):
    def forward(self, x):
        batch, tokens, channels = x.shape
        mask = torch.rand(batch, 1, 1) >= RATE
        return x * mask / (1 - RATE) if self.training else x.reshape(batch, tokens, channels)


@pytest.mark.parametrize(
    ("layer", "survival", "in_evaluation"),
    [
        (OfBatch, 0.6, 1),
        (OfBatchByPython, 0.6, 1),
        (Scaled, 0.6, 1),
        (ScaledAtTestTime, 0.6, 0.6),
        (OfTokens, 0.6, 1),
    ],
)
def test_what_drops_its_input_is_stochastic_depth(layer, survival, in_evaluation):
    (found,) = find_stochastic_depth(nn.Sequential(layer())).values()

    assert found.survival == pytest.approx(survival, abs=0.1)
    assert found.in_evaluation == pytest.approx(in_evaluation)


class DropPath(nn.Module):
    """A name; each test writes what it does."""


class Noise(DropPath):
    def forward(self, x):
        return x + torch.randn_like(x) if self.training else x


class Elementwise(DropPath):
    def forward(self, x):
        return F.dropout(x, RATE, self.training)


class WithWeight(DropPath):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.full((4, 1, 1), 0.5))

    def forward(self, x):
        return x * self.scale * (float(torch.rand(()) >= RATE) if self.training else 1)


class WithBuffer(DropPath):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        return x * float(torch.rand(()) >= RATE) if self.training else x


class Adding(DropPath):
    def forward(self, skip, branch):
        return skip + branch * float(torch.rand(()) >= RATE) if self.training else skip + branch


class Idle(DropPath):
    def forward(self, x):
        return x


class Rectifying(DropPath):
    def forward(self, x):
        return F.relu(x) * float(torch.rand(()) >= RATE) if self.training else F.relu(x)


def hooked():
    layer = Scaled()
    layer.register_forward_hook(lambda *_: None)
    return layer


@pytest.mark.parametrize(
    "layer",
    [Noise, Elementwise, WithWeight, WithBuffer, Adding, Idle, Rectifying, hooked],
)
def test_what_does_anything_else_is_none_whatever_its_name(layer):
    states = generator_states()

    assert find_stochastic_depth(nn.Sequential(layer())) == {}
    assert generator_states() == states


def conv():
    return nn.Conv2d(4, 4, 3, padding=1)


class Block(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.f = nn.Sequential(conv(), nn.BatchNorm2d(4), *layers)

    def forward(self, x):
        return F.relu(x + self.f(x))


class Wrapper(nn.Module):
    """Skips the module it holds."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, x):
        return x if self.training and torch.rand(()) < RATE else self.block(x)


StochasticDepth = type("StochasticDepth", (Wrapper,), {})


class WrapperOfBranch(Wrapper):
    def forward(self, x):
        if not self.training:
            return x + (1 - RATE) * self.block.f(x)
        return x + self.block.f(x) if torch.rand(1).item() >= RATE else x


class AddingBlock(Block):
    def __init__(self):
        super().__init__()
        self.drop = Adding()

    def forward(self, x):
        return self.drop(x, self.f(x))


def drop_connect(inputs, p, training):
    """As EfficientNets of one file have it."""
    if not training:
        return inputs
    batch_size, keep = inputs.shape[0], 1 - p
    mask = keep + torch.rand([batch_size, 1, 1, 1], dtype=inputs.dtype, device=inputs.device)
    return inputs / keep * torch.floor(mask)


def in_place(inputs, p, training):
    if p == 0.0 or not training:
        return inputs
    mask = inputs.new_empty((inputs.size(0),) + (1,) * (inputs.ndim - 1)).bernoulli_(1 - p)
    mask.div_(1 - p)
    return inputs * mask


def at_test_time(inputs, p, training):
    return inputs * torch.bernoulli(torch.full((1,), 1 - p)) if training else inputs * (1 - p)


class Function(Block):
    drop = staticmethod(drop_connect)

    def forward(self, x):
        return F.relu(x + self.drop(self.f(x), RATE, self.training))


def function(drop_function):
    return type("Dropping", (Function,), {"drop": staticmethod(drop_function)})


class ByBernoulli(Block):
    """As pytorchcv's resdropresnet: Python reads a number that was drawn."""

    def forward(self, x):
        y = self.f(x)
        if self.training:
            b = torch.bernoulli(torch.full((1,), 1 - RATE, dtype=x.dtype, device=x.device))
            y = float(b) / (1 - RATE) * y
        return F.relu(y + x)


class ByEquality(Block):
    """The rule of Huang et al., decided by comparing tensors."""

    def forward(self, x):
        if not self.training:
            return F.relu(x + self.f(x) * (1 - RATE))
        if torch.equal(torch.bernoulli(torch.tensor(1 - RATE)), torch.ones(())):
            return F.relu(x + self.f(x))
        return x


class ByPython(Block):
    def draw(self):
        return random.random()

    def forward(self, x):
        return x if self.training and self.draw() < RATE else super().forward(x)


class ByNumpy(ByPython):
    def draw(self):
        return np.random.rand()  # noqa: NPY002 - as people write it


class ByUniform(ByPython):
    def draw(self):
        return torch.empty(1).uniform_()


class ByItem(ByPython):
    def draw(self):
        return torch.rand(1, device=self.f[0].weight.device).item()


class BySurvival(ByPython):
    def draw(self):
        return 1 - random.uniform(0, 1)


BLOCKS = [
    *(lambda layer=layer: Block(layer()) for layer in (OfBatch, Scaled, ScaledAtTestTime)),
    lambda: Wrapper(Block()),
    lambda: StochasticDepth(Block()),
    lambda: WrapperOfBranch(Block()),
    lambda: StochasticDepth(Block(Scaled())),
    lambda: Block(OfBatchByPython(), Scaled()),
    AddingBlock,
    Function,
    function(in_place),
    function(at_test_time),
    *(ByBernoulli, ByEquality, ByPython, ByNumpy, ByUniform, ByItem, BySurvival),
]


@pytest.mark.parametrize("block", BLOCKS)
def test_its_own_is_taken_out_and_the_network_is_what_it_is_in_evaluation(block):
    module = nn.Sequential(conv(), block(), block(), Block())
    network = ResidualNetwork.from_module(module, SHAPE)

    assert len(network.branches) == 3
    assert all(branch.removable for branch in network.branches)
    assert set(network.module.state_dict()) == set(module.state_dict())
    assert torch.equal(network.module.eval()(IMAGES), module.eval()(IMAGES))
    for layer in module.modules():  # statistics of batches apart, training is evaluation
        layer.train(not isinstance(layer, nn.BatchNorm2d))
    assert torch.equal(network.module(IMAGES), module.eval()(IMAGES))
    assert network.notes
    assert all("the gates take" in note for note in network.notes)


class LayerDrop(nn.Module):
    """Draws in the loop over blocks."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(4))

    def forward(self, x):
        for number, block in enumerate(self.blocks):
            if self.training and random.random() < 0.2 * number:
                continue
            x = block(x)
        return x


def test_blocks_that_python_leaves_out_are_all_found_in_every_run():
    for seed in range(4):
        random.seed(seed)
        network = ResidualNetwork.from_module(nn.Sequential(conv(), LayerDrop()), SHAPE)

        assert [b.module for b in network.branches] == [f"1.blocks.{i}" for i in range(4)]
        assert "random numbers that Python looks at" in network.notes[0]


class InlineNoise(Block):
    def forward(self, x):
        y = self.f(x)
        return F.relu(x + (y + 0.1 * torch.randn_like(y) if self.training else y))


class NoiseOnImages(Block):
    def forward(self, x):
        return super().forward(x + torch.randn_like(x) if self.training else x)


class WholeBlockDropout(Block):
    def forward(self, x):
        return F.dropout2d(super().forward(x), RATE, training=self.training)


@pytest.mark.parametrize(
    "block",
    [
        *(lambda: Block(Noise()), lambda: Block(Elementwise()), InlineNoise, NoiseOnImages),
        *(WholeBlockDropout, lambda: nn.Sequential(Noise(), Block())),
    ],
)
def test_what_is_no_stochastic_depth_goes_on_doing_what_it_did_in_training(block):
    module = nn.Sequential(conv(), block(), Block())
    network = ResidualNetwork.from_module(module, SHAPE)

    assert len(network.branches) == 2
    assert network.notes == ()
    for training in (True, False):
        outputs = []
        for each in (module, network.module):
            torch.manual_seed(0)
            outputs.append(each.train(training)(IMAGES))
        assert torch.equal(*outputs)


class OtherByPython(nn.Module):
    """What random numbers decide is not whether something is left out."""

    def __init__(self):
        super().__init__()
        self.block, self.one, self.other = Block(), conv(), conv()

    def forward(self, x):
        x = self.block(x)
        if self.training and random.random() < RATE:
            return self.one(x)
        return self.other(x)


def test_other_random_decisions_are_kept_in_one_piece_or_refused_in_every_run():
    for seed in range(4):
        random.seed(seed)
        network = ResidualNetwork.from_module(nn.Sequential(Block(), OtherByPython()), SHAPE)

        assert [branch.module for branch in network.branches] == ["0"]
        assert network.notes[0].startswith("not looked into: 1, since it goes by random numbers")
        with pytest.raises(NetworkError, match="it goes by random numbers that Python looks at"):
            ResidualNetwork.from_module(OtherByPython(), SHAPE)
