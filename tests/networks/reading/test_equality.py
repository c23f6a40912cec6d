"""The network that was read is the network that was given, or it is refused."""

import copy
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from autodepth.errors import NetworkError
from autodepth.networks.residual_network import ResidualNetwork

SHAPE = (4, 8, 8)
IMAGES = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    """x + f(x), its forward written by each case."""

    def __init__(self, body=None):
        super().__init__()
        self.conv, self.norm, self.scale = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), 0.5
        self.body = body

    def f(self, x):
        return self.norm(self.conv(x))

    def forward(self, x):
        return self.body(self, x) if self.body else torch.relu(x + self.f(x))


class Net(nn.Module):
    def __init__(self, *blocks, around=None):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.blocks = nn.Conv2d(4, 4, 3, padding=1), nn.ModuleList(blocks)
        self.head, self.around = nn.Linear(4, 3), around

    def body(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))

    def forward(self, x):
        return self.around(self, x) if self.around else self.body(x)


def net(body=None, around=None):
    torch.manual_seed(1)
    return Net(Block(body), Block(body), Block(), around=around).requires_grad_()


def read(module):
    return ResidualNetwork.from_module(module, SHAPE)


def outputs(module, *, training):
    """What a network gives, and what it leaves in its state, from a copy."""
    module = copy.deepcopy(module).train(training)
    torch.manual_seed(3)
    with torch.set_grad_enabled(training):
        given = module(IMAGES.clone())
    return given, dict(module.state_dict())


def assert_equal(network, module):
    for training in (False, True):
        (one, state), (other, read_state) = (
            outputs(each, training=training) for each in (module, network.module)
        )
        assert torch.equal(one, other)
        assert all(torch.equal(state[name], read_state[name]) for name in read_state)


def inplace_module(block, x):
    return torch.relu(x + nn.ReLU(inplace=True)(block.f(x)))


def view_of_input(block, x):
    x[:, :2].mul_(2)
    return x + block.f(x)


FIRST_IN_PLACE = {  # what the shortcut carries is relu(x), or whatever it is changed into
    "F.relu by name": (lambda x: F.relu(x, inplace=True), torch.relu),
    "F.relu by place": (lambda x: F.relu(x, True), torch.relu),
    "F.relu_": (F.relu_, torch.relu),
    "torch.relu_": (torch.relu_, torch.relu),
    "method": (lambda x: x.relu_(), torch.relu),
    "silu": (lambda x: F.silu(x, inplace=True), F.silu),
    "hardswish": (lambda x: F.hardswish(x, True), F.hardswish),
    "leaky": (lambda x: F.leaky_relu_(x, 0.2), lambda x: F.leaky_relu(x, 0.2)),
    "leaky by place": (lambda x: F.leaky_relu(x, 0.2, True), lambda x: F.leaky_relu(x, 0.2)),
    "elu": (F.elu_, F.elu),
    "mul_": (lambda x: x.mul_(0.5), lambda x: x * 0.5),
    "clamp_": (lambda x: x.clamp_(0, 1), lambda x: x.clamp(0, 1)),
    "out": (lambda x: torch.mul(x, 0.5, out=x), lambda x: x * 0.5),
    "item": (lambda x: x.__setitem__((slice(None), 0), 0.0), lambda x: x * FIRST_ZERO),
    "copy_": (lambda x: x.copy_(torch.relu(x)), torch.relu),
}
FIRST_ZERO = torch.tensor([0.0, 1, 1, 1]).view(1, 4, 1, 1)


@pytest.mark.parametrize("spelling", FIRST_IN_PLACE)
def test_what_is_changed_in_place_before_the_branch_is_part_of_the_shortcut(spelling):
    change, plain = FIRST_IN_PLACE[spelling]

    def body(block, x):
        change(x)
        out = block.conv(x)
        out += x
        return out

    module = net(body)
    network = read(module)

    with torch.no_grad():
        assert torch.equal(network.module.eval()(IMAGES), module.eval()(IMAGES.clone()))
    assert len(network.branches) == 3
    x = plain(module.stem(IMAGES))
    x = plain(x + module.blocks[0].conv(x))  # the second block's branch is left out
    by_hand = module.head(module.blocks[2](x).mean((2, 3)))
    assert torch.equal(network.without([2]).module.eval()(IMAGES), by_hand)


@pytest.mark.parametrize("kind", [nn.ReLU, nn.SiLU, nn.Hardswish, nn.LeakyReLU, nn.ReLU6])
def test_modules_in_place_stay_so_and_are_part_of_the_shortcut(kind):
    class Pre(Block):
        def __init__(self):
            super().__init__()
            self.act = kind(inplace=True)

        def forward(self, x):
            out = self.conv(self.act(x))
            return out + x

    module = Net(Pre(), Pre())
    network = read(module)

    assert_equal(network, module)
    assert all(part.inplace for part in module.modules() if isinstance(part, kind))
    act = kind()
    by_hand = act(module.stem(IMAGES))
    by_hand = module.blocks[1].conv(act(by_hand)) + act(by_hand)
    by_hand = module.head(by_hand.mean((2, 3)))
    assert torch.equal(network.without([1]).module.eval()(IMAGES), by_hand)


LAST_IN_PLACE = [
    lambda x: F.relu(x, inplace=True),
    lambda x: F.relu(x, True),
    lambda x: F.relu6(x, inplace=True),
    lambda x: F.silu(x, inplace=True),
    lambda x: F.leaky_relu(x, 0.1, inplace=True),
    lambda x: F.hardtanh(x, -1, 1, True),
    lambda x: F.dropout(x, 0.0, inplace=True),
    torch.relu_,
    lambda x: x.relu_(),
]


@pytest.mark.parametrize("activation", LAST_IN_PLACE)
def test_an_activation_in_place_after_the_addition_is_found_alike(activation):
    def body(block, x):
        out = block.f(x)
        out += x
        return activation(out)

    module = net(body)
    network = read(module)
    slim = network.without([1, 2])

    assert_equal(network, module)
    assert len(network.branches) == 3
    slim.module.train()(IMAGES).sum().backward()  # the gradient's needs are whole


def test_a_part_changed_in_place_is_kept_or_its_branch_stays():
    module = net(view_of_input)
    network = read(module)
    assert_equal(network, module)


QUESTIONS = {
    "isinstance": lambda x: isinstance(x, torch.Tensor),
    "is_tensor": torch.is_tensor,
    "not a tuple": lambda x: not isinstance(x, tuple | list | dict),
    "dtype": lambda x: x.dtype == torch.float32,
    "dtype in": lambda x: x.dtype in (torch.float32, torch.float64),
    "device": lambda x: x.device.type == "cpu",
    "device equal": lambda x: x.device == torch.device("cpu"),
    "is_cuda": lambda x: not x.is_cuda,
    "is_cpu": lambda x: x.is_cpu,
    "floating": lambda x: x.is_floating_point(),
    "torch floating": torch.is_floating_point,
    "not none": lambda x: x is not None,
    "dim": lambda x: x.dim() == 4 and x.ndim == 4,
    "size is int": lambda x: isinstance(x.shape[1], int) and isinstance(x.shape, torch.Size),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_questions_about_the_input_are_answered_as_for_a_tensor(question):
    asked = QUESTIONS[question]
    module = net(around=lambda self, x: self.body(x * 2 if asked(x) else x))
    network = read(module)

    assert_equal(network, module)
    assert len(network.branches) == 3
    assert network.off_by == 0


class Straight(torch.autograd.Function):
    """Rounding with a gradient of its own."""

    @staticmethod
    def forward(ctx, x):
        ctx.scale = 2
        return torch.round(x)

    @staticmethod
    def backward(ctx, gradient):
        return ctx.scale * gradient


SCRIPTED = torch.jit.script(F.hardtanh)

IN_CPP = {
    "own gradient": (Straight.apply, "gradient of its own"),
    "scripted function": (SCRIPTED, "Expected a value of type 'Tensor"),
    "constructor": (torch.Tensor, "not a storage"),
    "as_tensor": (torch.as_tensor, "blocks.1"),
}


@pytest.mark.parametrize("way", IN_CPP)
def test_what_only_takes_tensors_keeps_its_part_whole(way):
    call, reason = IN_CPP[way]
    module = net()
    module.blocks[1].body = lambda block, x: x + call(block.f(x))
    network = read(module)
    assert_equal(network, module)
    assert [branch.module for branch in network.branches] == ["blocks.0", "blocks.2"]
    assert any("blocks.1" in note and reason in note for note in network.notes)


def test_a_checkpointed_branch_is_found():
    module = net(lambda block, x: x + checkpoint(block.conv, x, use_reentrant=False))
    network = read(module)
    assert_equal(network, module)
    assert len(network.branches) == 3


HIDDEN = {
    "type": lambda x: type(x) is torch.Tensor,
    "dtype is": lambda x: x.dtype is torch.float32,
}


@pytest.mark.parametrize("question", HIDDEN)
def test_what_a_stand_in_cannot_answer_is_refused_in_the_network_and_kept_in_a_part(question):
    asked = HIDDEN[question]
    with pytest.raises(
        NetworkError,
        match=r"Net would be read as another network: in evaluation its outputs are off by "
        r"[0-9.e-]+ of the largest, first at stem; likely",
    ):
        read(net(around=lambda self, x: self.body(x * 2 if asked(x) else x)))

    module = net()
    module.blocks[1].body = lambda block, x: torch.relu(x + block.f(x * 2 if asked(x) else x))
    network = read(module)
    assert_equal(network, module)
    assert [branch.module for branch in network.branches] == ["blocks.0", "blocks.2"]
    assert any("blocks.1" in note and "another network" in note for note in network.notes)


def test_the_network_given_is_left_as_it_was_also_where_it_is_refused():
    def around(self, x):
        self.calls += 1
        self.last = x
        random.random()
        np.random.rand()  # noqa: NPY002
        return self.body(x * 2 if type(x) is torch.Tensor else x)

    for refused in (True, False):
        module = net(around=around if refused else None)
        module.blocks[0].norm.eval()
        module.blocks[0].conv.weight.requires_grad_(False)
        module.calls, module.last = 0, None
        before = copy.deepcopy(module.state_dict())
        flags = {name: part.training for name, part in module.named_modules()}
        attributes = {name: set(vars(part)) for name, part in module.named_modules()}
        states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
        if refused:
            with pytest.raises(NetworkError):
                read(module)
        else:
            read(module)

        assert all(torch.equal(before[name], t) for name, t in module.state_dict().items())
        assert flags == {name: part.training for name, part in module.named_modules()}
        assert attributes == {name: set(vars(part)) for name, part in module.named_modules()}
        assert (module.calls, module.last) == (0, None)
        assert not module.blocks[0].conv.weight.requires_grad
        assert all(p.grad is None for p in module.parameters())
        assert random.getstate() == states[0]
        assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), states[2])


def test_sums_over_stacks_may_follow_each_other():
    module = net(lambda block, x: torch.stack([x, block.f(x)]).sum(0))
    network = read(module)

    assert_equal(network, module)
    assert len(network.branches) == 3


def test_a_sum_over_a_stack_may_be_scaled_onto_another():
    class Scaled(Block):
        def forward(self, x):
            return torch.add(x, self.f(x), alpha=0.5)

    module = Net(Block(lambda block, x: torch.stack([x, block.f(x)]).sum(0)), Scaled())
    network = read(module)

    assert_equal(network, module)
    assert len(network.branches) == 2


compiled = torch.compile(lambda x: F.gelu(x) * x, backend="eager")


@torch.compiler.set_stance("force_eager")
def test_a_compiled_function_is_part_of_a_branch():
    module = net(lambda block, x: x + compiled(block.f(x)))

    network = read(module)

    assert len(network.branches) == 3
    assert_equal(network, module)


def test_a_part_that_fails_after_it_called_others_is_kept_whole():
    def by_batch(block, x):
        return x + block.f(x).reshape(int(x.shape[0]), 4, 8, 8)

    module = Net(Block(), Block(by_batch))
    network = read(module)

    assert any("blocks.1" in note for note in network.notes)
    assert_equal(network, module)


def test_an_operand_that_has_only_its_size_from_the_other_is_no_branch_of_it():
    def padded(block, x):
        f = block.f(x)
        zeros = torch.zeros(x.shape[0], f.shape[1] - 2, *x.shape[2:])
        return f + torch.cat([x[:, :2], zeros], 1)

    module = net(padded)
    network = read(module)

    assert_equal(network, module)
    by_hand = module.eval().stem(IMAGES)
    for block in module.blocks[:2]:
        kept = torch.cat([by_hand[:, :2], torch.zeros_like(by_hand[:, 2:])], 1)
        by_hand = kept if block is module.blocks[0] else block.f(by_hand) + kept
    by_hand = module.head(module.blocks[2](by_hand).mean((2, 3)))
    assert torch.equal(network.without([1]).module.eval()(IMAGES), by_hand)


@pytest.mark.parametrize("draw", [random.random, np.random.random])
def test_a_number_that_is_drawn_in_evaluation_and_decides_nothing_is_no_hindrance(draw):
    def around(network, x):
        x = network.stem(x)
        for block in network.blocks:
            drawn = draw()
            if not network.training or drawn > 0.5:
                x = block(x)
        return network.head(x.mean((2, 3)))

    assert len(read(net(around=around)).branches) == 3


def test_a_part_that_puts_another_buffer_in_its_place_is_kept_whole():
    def averaged(block, x):
        y = block.conv(x)
        if block.training:
            block.ema = block.ema * 0.9 + y.detach().mean((0, 2, 3)) * 0.1
        return x + torch.relu(y - block.ema[:, None, None])

    module = Net(Block(averaged), Block())
    module.blocks[0].register_buffer("ema", torch.zeros(4))
    network = read(module)

    assert any("blocks.0" in note for note in network.notes)
    assert_equal(network, module)


def test_a_network_that_checks_the_size_of_its_images_is_compared_on_images_of_that_size():
    class Checking(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.step = nn.Conv2d(3, 4, 14, stride=14), nn.Conv2d(4, 4, 1)
            self.head = nn.Linear(4, 5)

        def forward(self, x):
            torch._assert(x.shape[2] % 14 == 0, "must be divisible by 14")
            x = self.stem(x)
            return self.head((x + self.step(x)).mean((2, 3)))

    assert ResidualNetwork.from_module(Checking(), (3, 56, 56)).off_by == 0.0
