"""A network begins at what it is to give, where its last layer is linear."""

import pytest
import torch
from torch import fx, nn

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.weights.last_layer import begin_at, last_linear


def test_outputs_are_moved_to_a_mean_and_spread_by_a_deviation():
    module = build_network(NetworkSpec(name="resnet8", classes=2)).module.eval()
    images = torch.randn(4, 3, 32, 32)
    mean, deviation = torch.tensor([500.0, -3.0]), torch.tensor([100.0, 0.5])

    with torch.no_grad():
        before = module(images)
        begin_at(last_linear(module), mean, deviation)
        after = module(images)

    assert torch.allclose(after, mean + deviation * before, rtol=1e-4)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Linear(4, 2), nn.ReLU()],
        [nn.Linear(4, 2, bias=False)],
        [nn.Conv2d(3, 2, 1)],
    ],
)
def test_other_last_layers_are_left_alone(layers):
    assert last_linear(fx.symbolic_trace(nn.Sequential(*layers))) is None
