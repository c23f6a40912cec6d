"""What a network's own train() and eval() do stays with the graph that was read from it."""

import pytest
import torch
from torch import fx, nn

from autodepth.networks.running.modes import ReadNetwork, evaluating, keep_modes, modes_of


class Frozen(nn.Module):
    """Keeps its batch norm in evaluation, and its first layer without gradients while it trains."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout()

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        self.last.train()  # drops in evaluation too
        self.first.requires_grad_(not mode)
        return self

    def forward(self, x):
        return self.last(self.norm(self.first(x)))


@pytest.fixture
def read():
    module = Frozen()
    found = ReadNetwork(module, fx.symbolic_trace(module).graph)
    keep_modes(found, module)
    return module, found


@pytest.mark.parametrize(("mode", "norm", "dropout"), [(True, False, True), (False, False, True)])
def test_the_graph_is_in_the_modes_of_the_network(read, mode, norm, dropout):
    _, found = read
    found.train(mode)

    assert (found.training, found.norm.training, found.last.training) == (mode, norm, dropout)


def test_parameters_without_gradient_in_training_are_frozen_in_the_graph(read):
    _, found = read
    found.train()

    wanting = {name: parameter.requires_grad for name, parameter in found.named_parameters()}
    assert not wanting["first.weight"]
    assert wanting["norm.weight"]


def test_asking_leaves_the_network_as_it_was():
    module = Frozen()
    module.training, module.norm.training = False, True
    module.first.weight.requires_grad_(True)
    keep_modes(ReadNetwork(module, fx.symbolic_trace(module).graph), module)

    assert (module.training, module.norm.training) == (False, True)
    assert module.first.weight.requires_grad


def test_what_was_noted_is_handed_on_and_nothing_where_nothing_was(read):
    module, found = read

    assert modes_of(found)["modes"] is found.meta["modes"]
    assert modes_of(module) == {}


def test_evaluation_ends_with_the_block_also_on_an_error():
    module = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout())
    module[0].eval()

    with evaluating(module):
        assert torch.equal(module(torch.ones(3, 2)), module(torch.ones(3, 2)))
    with pytest.raises(KeyError), evaluating(module):
        raise KeyError
    assert [part.training for part in module.modules()] == [True, False, True]
