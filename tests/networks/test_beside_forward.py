"""What a network's class does beside forward: train(), eval(), hooks, contexts, calls."""

import copy
from types import MethodType

import pytest
import torch
from torch import nn

from autodepth.errors import NetworkError
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.trial.phases.pruning import recalibrate_batch_norm

SHAPE = (4, 8, 8)
IMAGES = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)
        self.conv.padding = (1, 1)

    def forward(self, x):
        return torch.relu(x + self.drop(self.norm(self.conv(x))))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.blocks, self.head = nn.Sequential(Block(), Block(), Block()), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.blocks(self.norm(self.stem(x))).mean((2, 3)))


class FrozenNorms(Net):
    def train(self, mode=True):
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eval()
        return self


class FrozenStem(Net):
    """A part that never trains: in evaluation, and without gradients."""

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        for parameter in self.stem.parameters():
            parameter.requires_grad_(False)
        return self


class FrozenBlock(Block):
    def train(self, mode=True):
        return super().train(mode is None)


class FrozenPart(Net):
    def __init__(self):
        super().__init__()
        self.blocks[1] = FrozenBlock()


class DropoutInEvaluation(Net):
    def eval(self):
        super().eval()
        return self.train(mode=False)

    def train(self, mode=True):
        super().train(mode)
        for block in self.blocks:
            block.drop.train()
        return self


class FrozenParameter(Net):
    def __init__(self):
        super().__init__()
        self.stem.requires_grad_(False)


@pytest.mark.parametrize(
    "kind", [FrozenNorms, FrozenStem, FrozenPart, DropoutInEvaluation, FrozenParameter]
)
def test_the_same_parts_train_as_in_the_network_given_wherever_it_goes(kind):
    module, other = kind(), kind()
    network = ResidualNetwork.from_module(module, SHAPE)
    assert all(p.requires_grad for p in Net().parameters())
    read = (network, network.without([]), copy.deepcopy(network).without([3]))

    for mode in (True, False):
        other.train(mode)
        flags = {name: part.training for name, part in other.named_modules()}
        wanted = {name: p.requires_grad for name, p in other.named_parameters()}
        for each in (*(r.module for r in read), GatedNetwork(network).module):
            each.train(mode)
            parts = dict(each.named_modules())
            assert all(parts[n].training == flags[n] for n in parts if n in flags and n)
            assert all(p.requires_grad == wanted[n] for n, p in each.named_parameters())


def test_frozen_statistics_move_neither_in_training_nor_in_recalibration():
    network = ResidualNetwork.from_module(FrozenNorms(), SHAPE).without([2])
    for norm in (part for part in network.module.modules() if isinstance(part, nn.BatchNorm2d)):
        norm.running_mean.fill_(0.25)
    before = copy.deepcopy(network.module.state_dict())
    gated = GatedNetwork(network)

    gated.train()
    gated(IMAGES).sum().backward()
    recalibrate_batch_norm(network, [(IMAGES, torch.zeros(4))], 1)

    assert all(torch.equal(before[n], t) for n, t in network.module.state_dict().items())


def after_hook(_, __, value):
    return value * 2


def before_hook(_, args):
    return (args[0] * 3, *args[1:])


def hooked(place, kind):
    def build():
        module = Net()
        part = module.get_submodule(place)
        if kind == "after":
            part.register_forward_hook(after_hook)
        elif kind == "before":
            part.register_forward_pre_hook(before_hook)
        elif kind == "forward":
            part.forward = MethodType(lambda self, x: type(self).forward(self, x) * 2, part)
        return module

    return build


class NoGradientInside(Block):
    def forward(self, x):
        with torch.no_grad():
            y = self.conv(x)
        return torch.relu(x + self.drop(self.norm(y)))


class NoGradientInAPart(Net):
    def __init__(self):
        super().__init__()
        self.blocks[1] = NoGradientInside()


class HalfInside(Block):
    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return torch.relu(x + self.norm(self.conv(x)).float())


class HalfInAPart(Net):
    def __init__(self):
        super().__init__()
        self.blocks[1] = HalfInside()


class CalledOtherwise(Block):
    def __call__(self, x):
        return super().__call__(x * 2)


class CalledInAPart(Net):
    def __init__(self):
        super().__init__()
        self.blocks[1] = CalledOtherwise()


class NetCalledOtherwise(Net):
    def __call__(self, x):
        return super().__call__(x * 2)


WAYS = {
    **{
        f"{kind} {place or 'network'}": hooked(place, kind)
        for kind in ("after", "before", "forward")
        for place in ("", "blocks", "blocks.1", "blocks.1.conv", "head")
    },
    "no_grad inside": NoGradientInAPart,
    "autocast inside": HalfInAPart,
    "__call__ inside": CalledInAPart,
    "__call__": NetCalledOtherwise,
}


def run(module, *, training):
    module.train(training)
    module.zero_grad()
    torch.manual_seed(1)
    value = module(IMAGES.clone())
    value.sum().backward()
    gradients = {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}
    return value.detach(), gradients


@pytest.mark.parametrize("way", WAYS)
def test_hooks_contexts_and_calls_are_part_of_the_network(way):
    network = ResidualNetwork.from_module(WAYS[way](), SHAPE)

    for read in (network.module, network.without([]).module):
        for training in (True, False):
            (one, gradients), (other, read_gradients) = (
                run(each, training=training) for each in (WAYS[way](), copy.deepcopy(read))
            )
            assert torch.equal(one, other)
            assert gradients.keys() == read_gradients.keys()
            assert all(torch.equal(gradients[n], read_gradients[n]) for n in gradients)


def test_a_network_whose_gradient_stops_outside_of_its_parts_is_refused():
    class NoGradient(Net):
        def forward(self, x):
            with torch.no_grad():
                x = self.norm(self.stem(x))
            return self.head(self.blocks(x).mean((2, 3)))

    with pytest.raises(NetworkError, match=r"norm\.bias gets a gradient in one of the two"):
        ResidualNetwork.from_module(NoGradient(), SHAPE)
