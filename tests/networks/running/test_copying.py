"""Copies share nothing with the network, whatever it holds."""

import torch
from torch import nn

from autodepth.networks.running.copying import copied


def test_a_copy_shares_no_tensor():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    found = copied(module)
    with torch.no_grad():
        for tensor in found.state_dict().values():
            tensor.add_(1)

    assert not any(
        torch.equal(ours, theirs)
        for ours, theirs in zip(
            module.state_dict().values(), found.state_dict().values(), strict=True
        )
    )


def test_a_feature_map_that_a_layer_keeps_is_copied_as_it_is():
    module = nn.Linear(2, 2)
    module.seen = module(torch.ones(1, 2))  # copy.deepcopy refuses what gradients flow through
    found = copied(module)

    assert torch.equal(found.seen, module.seen)
    assert found.seen.is_leaf


def test_weights_that_two_layers_share_are_shared_in_the_copy():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[1].weight = module[0].weight
    found = copied(module)

    assert found[0].weight is found[1].weight is not module[0].weight


def test_hooks_on_parameters_work_in_the_copy():
    module = nn.Linear(1, 1)
    module.weight.register_hook(lambda gradient: 10 * gradient)
    found = copied(module)
    found(torch.ones(1, 1)).sum().backward()

    assert found.weight.grad.item() == 10
    assert module.weight.grad is None
