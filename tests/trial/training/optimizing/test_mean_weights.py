"""The mean of the weights is the formula, and a network computes with it only where it is told."""

import pytest
import torch
from torch import nn

from autodepth.trial.training.optimizing.mean_weights import MeanWeights


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))


def step(module):
    module.train()(torch.randn(8, 1, 2, 2))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.5)


def test_early_steps_count_more_than_the_decay_says():
    module = network()
    means = MeanWeights(module, 0.3)
    weight = module[0].weight.detach().clone()
    expected = weight.clone()
    for number in range(1, 6):
        step(module)
        kept = min(0.3, (1 + number) / (10 + number))
        expected = kept * expected + (1 - kept) * (weight + 0.5 * number)
        means.update()

    with means.in_network():
        assert torch.allclose(module[0].weight, expected)
    assert torch.allclose(module[0].weight, weight + 2.5)


def test_batch_statistics_are_averaged_and_counts_are_not():
    module = network()
    means = MeanWeights(module, 0.9)
    step(module)
    last = module[1].running_mean.clone()
    means.update()

    with means.in_network():
        assert torch.allclose(module[1].running_mean, last * 9 / 11)  # began at 0
        assert module[1].num_batches_tracked == 1
    assert torch.equal(module[1].running_mean, last)


def test_means_go_on_where_they_were_put_down():
    module = network()
    means = MeanWeights(module, 0.9)
    step(module)
    means.update()
    kept = {name: tensor.clone() for name, tensor in means.state_dict().items()}
    again = MeanWeights(module, 0.9)
    again.load_state_dict(kept, means.steps)
    step(module)
    for both in (means, again):
        both.update()

    assert all(torch.equal(again.state_dict()[n], t) for n, t in means.state_dict().items())
    assert again.steps == 2


@pytest.mark.parametrize("decay", [0.0])
def test_without_a_decay_there_is_no_mean(decay):
    module = network()
    means = MeanWeights(module, decay)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    means.update()
    means.swap()

    assert means.state_dict() == {}
    assert all(torch.equal(module.state_dict()[n], t) for n, t in before.items())
