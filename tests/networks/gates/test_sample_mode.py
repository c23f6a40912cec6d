"""A branch on some samples adds to those alone, with the gradients of the plain spelling."""

import pytest
import torch

from autodepth.networks.gates.sample_mode import add_to_samples, split_samples

SAMPLES = torch.tensor([2, 0])


def by_sample(x, *, relu=False, own=False):
    whole, part = split_samples(x, SAMPLES, own_gradient=own)
    return add_to_samples(whole, part * part, SAMPLES, relu=relu)


def plain(x, *, relu=False):
    added = torch.zeros_like(x).index_add(0, SAMPLES, x[SAMPLES] ** 2)
    return (x + added).relu() if relu else x + added


def images(layout=torch.contiguous_format):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, 4, 5, generator=generator, dtype=torch.float64)
    return x.contiguous(memory_format=layout).requires_grad_()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_values_and_gradients_are_those_of_the_whole_batch(layout, relu, own):
    one, other = images(layout), images(layout)
    found, expected = by_sample(one, relu=relu, own=own), plain(other, relu=relu)
    weights = torch.arange(found.numel(), dtype=found.dtype).view_as(found)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()

    assert torch.equal(found, expected)
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-12, atol=0)
    assert found.is_contiguous(memory_format=layout)


def test_what_was_given_stays_as_it_was():
    x = images()
    before = x.detach().clone()
    by_sample(x, relu=True)

    assert torch.equal(x, before)


def test_gradients_of_gradients_are_those_of_numbers():
    x = images().detach()[:, :, :2, :2].requires_grad_()

    assert torch.autograd.gradcheck(by_sample, x)
    assert torch.autograd.gradgradcheck(lambda x: by_sample(x, own=True), x)


def test_a_value_per_channel_is_spread_and_precisions_meet_in_the_finer():
    x = torch.zeros(3, 2, 2, 2, dtype=torch.bfloat16)
    found = add_to_samples(x, torch.ones(2, 2, 1, 1), SAMPLES)

    assert found.dtype is torch.float32
    assert found.sum((1, 2, 3)).tolist() == [8.0, 0.0, 8.0]
