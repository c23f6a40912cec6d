"""Batch norms over ranks compute what torch's compute in one process; a rank may have no rows."""

import copy

import pytest
import torch
from torch import distributed, nn

from autodepth.trial.training.sync_batch_norm import norms_over_ranks


@pytest.fixture(scope="module", autouse=True)
def _group(tmp_path_factory):
    """Make a process group of this process alone."""
    store = tmp_path_factory.mktemp("group") / "store"
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def pair(**arguments):
    ours = nn.Sequential(nn.BatchNorm2d(3, **arguments))
    if ours[0].affine:
        nn.init.normal_(ours[0].weight, generator=torch.Generator().manual_seed(1))
    return ours, copy.deepcopy(ours)


def images(seed):
    x = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(seed))
    return (100 + x).requires_grad_()  # far from 0, where differences of sums lose digits


@pytest.mark.parametrize(
    "arguments",
    [{}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}, {"eps": 0.1}],
)
def test_outputs_gradients_and_statistics_are_those_of_torch(arguments):
    ours, theirs = pair(**arguments)
    for seed in (0, 1):
        one, other = images(seed), images(seed)
        with norms_over_ranks(ours):
            found = ours(one)
        expected = theirs(other)
        weights = torch.arange(found.numel(), dtype=found.dtype).view_as(found)
        (found * weights).sum().backward()
        (expected * weights).sum().backward()

        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-3)
    for mine, torchs in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, torchs.grad, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-5, atol=1e-5)


def test_in_evaluation_nothing_differs():
    ours, _ = pair()
    ours.eval()
    x = images(0)
    expected = ours(x)
    with norms_over_ranks(ours):
        assert torch.equal(ours(x), expected)


def test_afterwards_the_layers_are_torchs_again():
    ours, _ = pair()
    with pytest.raises(KeyError), norms_over_ranks(ours):
        raise KeyError

    assert "forward" not in vars(ours[0])


def test_one_value_per_channel_has_no_variance():
    ours, _ = pair()
    with norms_over_ranks(ours), pytest.raises(ValueError, match="more than 1 value per channel"):
        ours(torch.ones(1, 3, 1, 1))
