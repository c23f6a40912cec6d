"""Sizes in a graph are told without computing anything; what content decides is not told."""

import pytest
import torch
from torch import fx, nn

from autodepth.networks.costs.shapes import BATCHES, Shapes


class Sizes(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8)

    def forward(self, x):
        features = self.norm(self.conv(x))
        rows = features.flatten(1).shape[0] * 2
        largest = features.max().item()
        return features, rows, largest, largest > 0


def told(batch, module=None):
    module = module or Sizes()
    graph = fx.symbolic_trace(module).graph
    nodes = {node.name: node for node in graph.nodes}
    shapes = Shapes(module, nodes["x"], (batch, 3, 9, 9))
    return {name: shapes.of(node) for name, node in nodes.items() if node.op != "output"}, module


def test_layers_and_what_is_computed_of_sizes_are_told():
    for batch in BATCHES:
        values, _ = told(batch)
        assert values["norm"].shape == (batch, 8, 4, 4)
        assert values["mul"] == 2 * batch


@pytest.mark.parametrize("by", ["a hook", "a forward of its own"])
def test_a_norm_that_was_made_to_give_another_shape_is_told_as_it_is(by):
    module = Sizes()
    if by == "a hook":
        module.norm.register_forward_hook(lambda _norm, _given, features: features[:, :5])
    else:
        module.norm.forward = lambda features: features[:, :5]

    assert told(2, module)[0]["norm"].shape == (2, 5, 4, 4)


def test_what_depends_on_content_is_not_told_and_neither_is_what_follows():
    values, _ = told(2)

    assert values["item"] is None
    assert values["gt"] is None


def test_no_weight_has_content_and_the_network_stays_as_it_was():
    values, module = told(2)

    assert values["conv"].is_meta
    assert module.training
    assert module.norm.num_batches_tracked == 0
    assert not any(parameter.is_meta for parameter in module.parameters())
    assert torch.equal(module.norm.running_mean, torch.zeros(8))
