"""Costs of branches add up to what a network without them costs."""

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.study.propose.predict.branch_costs import BranchCosts


def test_costs_without_branches_are_those_of_the_network_without_them():
    network = build_network(NetworkSpec(name="resnet14"), seed=0)
    costs = BranchCosts.of(network)

    for gone in ((), (2,), (1, 4, 6)):
        smaller = network.without(gone)
        assert costs.without(gone) == {
            "macs": smaller.total_macs,
            "parameters": smaller.total_parameters,
        }
