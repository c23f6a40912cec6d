"""Removed branches are gone: from the graph, the state dict, the parameters and the cost."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autodepth.errors import NetworkError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.costs.cost import count_macs

NETWORK = build_network(NetworkSpec(name="resnet20", height=8, width=8, channels=1))
IMAGE = torch.zeros(1, 1, 8, 8)


@settings(deadline=None, max_examples=30)
@given(st.sets(st.integers(1, 9)))
def test_any_set_of_branches_can_go_and_the_cost_adds_up(removed):
    smaller = NETWORK.without(removed)
    gone = [branch for branch in NETWORK.branches if branch.index in removed]

    assert smaller.removed == tuple(sorted(removed))
    assert count_macs(smaller.module, IMAGE) == smaller.total_macs
    assert smaller.total_macs == NETWORK.total_macs - sum(branch.macs for branch in gone)
    assert smaller.total_parameters == NETWORK.total_parameters - sum(b.parameters for b in gone)
    assert set(smaller.module.state_dict()) <= set(NETWORK.module.state_dict())


@settings(deadline=None, max_examples=15)
@given(st.permutations(range(1, 10)), st.integers(0, 9))
def test_removing_in_steps_equals_removing_at_once(order, cut):
    at_once = NETWORK.without(order).module.eval()
    in_steps = NETWORK.without(order[:cut]).without(order[cut:]).module.eval()
    images = torch.randn(2, 1, 8, 8)

    assert torch.equal(at_once(images), in_steps(images))


def test_the_rest_is_a_copy_that_shares_nothing():
    smaller = NETWORK.without([3])
    with torch.no_grad():
        for parameter in smaller.module.parameters():
            parameter.zero_()

    assert NETWORK.module.get_submodule("conv1").weight.abs().sum() > 0


def test_a_thinned_network_trains_and_reloads():
    smaller = NETWORK.without([2, 3, 5, 6, 8, 9])
    smaller.module.train()
    smaller.module(torch.randn(4, 1, 8, 8)).sum().backward()
    again = NETWORK.without([2, 3, 5, 6, 8, 9])

    again.module.load_state_dict(smaller.module.state_dict())

    assert all(parameter.grad is not None for parameter in smaller.module.parameters())


@pytest.mark.parametrize("removed", [[10], [0], [-1]])
def test_branches_that_are_not_there_cannot_be_removed(removed):
    with pytest.raises(NetworkError, match="no branch"):
        NETWORK.without(removed)


def test_a_branch_cannot_be_removed_twice():
    with pytest.raises(NetworkError, match=r"no branch \[4\]"):
        NETWORK.without([4]).without([4])
