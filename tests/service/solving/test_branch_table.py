"""Costs by branch add up to those of the network that is left."""

import pytest
from safetensors.torch import save

from autodepth.networks.pruning.width import prune_width
from autodepth.networks.weights.own_files import save_weights
from autodepth.service.solving.branch_table import branch_table
from autodepth.trial.device.latency_table import LatencyTable


def test_costs_add_up_to_those_of_the_smaller_network(network, tmp_path):
    table, removed = branch_table(network, None), (2, 3, 8)
    smaller, told = network.without(removed), table.without(removed)

    assert told["macs"] == smaller.total_macs
    assert told["parameters"] == smaller.total_parameters
    size = save_weights(smaller.module, tmp_path / "model.safetensors")
    assert told["size_bytes"] == pytest.approx(size, abs=64)
    assert "latency_ms" not in told


def test_branches_of_other_widths_cost_what_they_cost_in_the_network(network):
    table = branch_table(network, None, (0.5, 0.75, 0.25))
    widths = {1: 1.0, 2: 0.5, 3: 0.0, 4: 0.25, 5: 0.75, 6: 1.0, 7: 0.5, 8: 0.0, 9: 0.25}
    gone = {branch: 1 - width for branch, width in widths.items() if width}
    smaller, told = prune_width(network.without([3, 8]), gone), table.of(widths)

    assert told["macs"] == smaller.total_macs
    assert told["parameters"] == smaller.total_parameters
    size = len(save(smaller.module.state_dict()))
    assert size <= told["size_bytes"] <= 1.02 * size


def test_latencies_are_those_of_the_table(network):
    each = {b.index: 0.1 * b.index for b in network.branches}
    latencies = LatencyTable(device="cpu", threads=1, whole_ms=6.0, around_ms=1.0, branches_ms=each)
    table = branch_table(network, latencies)
    assert table.without([1, 9])["latency_ms"] == pytest.approx(latencies.predict([1, 9]))
