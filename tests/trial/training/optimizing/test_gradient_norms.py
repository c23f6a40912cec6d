"""Norms of gradients by branch are those of a step by hand."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from trial.training.test_loop import trained

from autodepth.networks.catalogue import build_network

# Numbers are compared with those by hand, so not in the bfloat16 that some CPUs multiply.


def test_gradient_norms_equal_those_of_a_step_by_hand(context):
    network = build_network(context.spec, seed=1)
    few = replace(context, data=replace(context.data, train=context.data.train.subset(range(32))))
    (epoch,), _ = trained(few, network)
    images, labels = next(iter(few.training_batches(32, "test")))
    module = network.without(()).module.train()

    F.cross_entropy(module(images), labels).backward()

    for branch in network.branches:
        block = module.get_submodule(branch.module)
        gradients = torch.cat([p.grad.flatten() for p in block.parameters()])
        assert epoch.gradient_norms[branch.index] == pytest.approx(
            gradients.norm().item(), rel=1e-4
        )


def test_a_dropped_branch_has_no_gradient_norm(context):
    network = build_network(context.spec, seed=1)
    (epoch,), _ = trained(context, network, survival=lambda _: [1.0, 0.0, 1.0, 1.0, 0.0, 1.0])

    assert set(epoch.gradient_norms) == {1, 3, 4, 6}
