"""What a space can reach is what its protected and named branches leave."""

import pytest

from autodepth.errors import InputError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.space.objectives import parse_constraint
from autodepth.space.search_space import SearchSpace
from autodepth.study.plan.estimate import constraint_verdict, macs_range


@pytest.fixture(scope="module")
def network():
    return build_network(NetworkSpec(name="resnet14", channels=1, height=8, width=8), seed=0)


def space(search, **network):
    content = {"network": {"name": "resnet14", **network}, "data": "digits", "search": search}
    return SearchSpace.from_dict({"version": 1, **content})


def test_protected_branches_stay(network):
    every = [branch.index for branch in network.branches]
    all_protected = space({"sensitivity_threshold": 1.0}, protect=every)

    assert macs_range(network, all_protected).least == network.total_macs
    bound = parse_constraint("macs <= 60%")
    with pytest.raises(InputError, match="cannot hold"):
        constraint_verdict(bound, network, all_protected)
    assert constraint_verdict(bound, network, space({"sensitivity_threshold": 1.0}))


def test_branches_that_are_named_go_and_no_others(network):
    named = space({"branches": [2, 5]})
    assert macs_range(network, named).least == network.without((2, 5)).total_macs
