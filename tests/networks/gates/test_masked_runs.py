"""Outputs without sets of branches are those of the smaller networks, in fewer passes."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.gates.batch_statistics import batch_statistics
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.gates.masked_runs import WHOLE, outputs_without

IMAGES = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))
NETWORK = build_network(NetworkSpec(name="resnet14", height=8, width=8), seed=1)
REMOVABLE = [branch.index for branch in NETWORK.branches if branch.removable]


def gated_network():
    gated = GatedNetwork(NETWORK)
    gated.eval()
    gated.open_all()
    return gated


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sets(st.sampled_from(REMOVABLE)), min_size=1, max_size=6))
def test_each_is_the_network_without_its_branches(masks):
    found = dict(outputs_without(gated_network(), IMAGES, masks))

    assert set(found) == {frozenset(mask) for mask in masks}
    for mask, outputs in found.items():
        assert torch.equal(outputs, NETWORK.without(mask).module.eval()(IMAGES))


def test_the_statistics_are_those_of_the_smaller_network():
    gated = gated_network()
    with batch_statistics(gated.module, len(IMAGES)):
        found = dict(outputs_without(gated, IMAGES, [{2}, {2, 5}, WHOLE]))

    for mask, outputs in found.items():
        smaller = NETWORK.without(mask).module.train()
        assert torch.allclose(outputs, smaller(IMAGES), atol=1e-6)


def test_what_is_common_is_computed_once():
    gated, calls = gated_network(), []
    first = gated.removable_gates()[1]
    branch, first.branch = first.branch, lambda *inputs: calls.append(1) or branch(*inputs)
    list(outputs_without(gated, IMAGES, [{number} for number in REMOVABLE]))

    assert len(calls) == 1


def test_every_gate_is_open_again():
    gated = gated_network()
    before = gated(IMAGES)
    list(outputs_without(gated, IMAGES, [{1}, {2, 3}]))

    assert torch.equal(gated(IMAGES), before)
