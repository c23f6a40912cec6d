"""Batch norms follow the batch at hand, and are as they were afterwards."""

import pytest
import torch
from torch import nn

from autodepth.networks.gates.batch_statistics import FEWEST_IMAGES, batch_statistics

IMAGES = 3 + 2 * torch.randn(FEWEST_IMAGES, 4, 5, 5, generator=torch.Generator().manual_seed(0))


class Frozen(nn.BatchNorm2d):
    def train(self, mode=True):  # noqa: ARG002 - it never trains
        return super().train(False)


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_each_batch_is_normalised_by_itself_and_nothing_is_kept():
    module = nn.Sequential(nn.BatchNorm2d(4)).eval()
    before = state(module)
    with batch_statistics(module, len(IMAGES)):
        out = module(IMAGES)

    assert out.mean((0, 2, 3)).abs().max() < 1e-5
    assert all(torch.equal(value, before[name]) for name, value in state(module).items())
    assert not module[0].training
    assert module[0].momentum == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("module", "images"),
    [
        pytest.param(nn.BatchNorm2d(4), FEWEST_IMAGES - 1, id="few images"),
        pytest.param(Frozen(4), FEWEST_IMAGES, id="a norm that never trains"),
    ],
)
def test_a_norm_that_has_to_keeps_what_it_was_trained_with(module, images):
    module = nn.Sequential(module).eval()
    with batch_statistics(module, images):
        out = module(IMAGES)

    assert torch.equal(out, module(IMAGES))
