"""What a person says is free counts as 0 wherever a network goes, and is told as said."""

import pytest
import torch
from torch import nn

from autodepth.errors import NetworkError
from autodepth.networks.catalogue import NetworkSpec
from autodepth.networks.costs.cost import count_macs
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.trial.device.runtimes.formats.torch_program import make_program, program_macs

SHAPE = (3, 8, 8)


@torch.library.custom_op("autodepth_tests::scan", mutates_args=())
def scan(x: torch.Tensor) -> torch.Tensor:
    return x.cumsum(-1)


@scan.register_fake
def _(x):
    return torch.empty_like(x)


scan.register_autograd(lambda _, gradient: gradient)


@torch.fx.wrap
def wrapped(x):
    return torch.matmul(x, x)


class OwnFunction(torch.autograd.Function):
    @staticmethod
    def forward(_, x):
        return torch.linalg.inv(torch.eye(8) + 0 * x)

    @staticmethod
    def backward(_, gradient):
        return gradient


@torch.fx.wrap
def applied(x):
    return OwnFunction.apply(x)


def calls_wrapped(x):  # a name of this module is what torch.fx.wrap wraps
    return wrapped(x) + 0


def calls_applied(x):
    return applied(x) + 0


def inlined(x):
    return torch.matmul(x, x)


class Branch(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.first, self.function = nn.Conv2d(3, 4, 1), function
        self.second = nn.Conv2d(4, 3, 1)

    def forward(self, x):
        return x + self.second(self.function(torch.relu(self.first(x))))


class Network(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.blocks = nn.Sequential(Branch(function), Branch(function))

    def forward(self, x):
        return self.blocks(x)


CONVOLUTIONS = 2 * 2 * 64 * 12  # of both blocks
CASES = {
    "autodepth_tests::scan": scan,
    "autodepth_tests.scan.default": scan,
    f"{__name__}.wrapped": calls_wrapped,
    f"{__name__}.OwnFunction": calls_applied,
}


def read(function, *free):
    return ResidualNetwork.from_module(Network(function), SHAPE, free=free)


@pytest.mark.parametrize("name", CASES)
def test_it_counts_as_nothing_and_a_note_says_so(name):
    network = read(CASES[name], name)

    assert network.total_macs == CONVOLUTIONS
    assert network.notes[-1] == f"counted as free, as said: {name}"


@pytest.mark.parametrize("name", CASES)
def test_it_stays_free_in_what_is_made_of_the_network(name):
    smaller = read(CASES[name], name).without([1])

    assert smaller.notes[-1] == f"counted as free, as said: {name}"
    assert smaller.total_macs == CONVOLUTIONS // 2
    assert count_macs(smaller.module, torch.zeros(1, *SHAPE), free=smaller.free) == (
        smaller.total_macs
    )
    assert prune_width(smaller, 0.5).total_macs <= smaller.total_macs


def test_a_program_holds_the_operator_and_it_is_free_there_too():
    name = "autodepth_tests::scan"
    network = read(scan, name)
    program = make_program(network.module.eval(), SHAPE).module()

    assert program_macs(program, SHAPE, [name]) == CONVOLUTIONS


def test_a_program_that_takes_a_free_function_apart_has_no_count():
    name = f"{__name__}.wrapped"
    program = make_program(read(CASES[name], name).module.eval(), SHAPE).module()

    assert program_macs(program, SHAPE, [name]) is None


def test_without_the_word_of_a_person_it_is_an_error():
    with pytest.raises(NetworkError, match=r"--free autodepth_tests\.scan .*network: \{free:"):
        read(scan)


def test_a_function_that_is_not_free_is_counted():
    assert read(calls_wrapped).total_macs == CONVOLUTIONS + 2 * 4 * 8**3


@pytest.mark.parametrize("name", ["mylib::absent", f"{__name__}.inlined", "scan"])
def test_a_name_that_the_network_does_not_call_is_refused(name):
    with pytest.raises(NetworkError, match="does not call"):
        read(inlined, name)


def test_a_description_of_a_network_keeps_what_is_free():
    spec = NetworkSpec(name="my:net", free=("a::b",))

    assert NetworkSpec.from_dict(spec.to_dict()) == spec
    assert "free" not in NetworkSpec(name="my:net").to_dict()  # as older files have it
