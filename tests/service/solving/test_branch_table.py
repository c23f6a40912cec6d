"""Costs by branch add up to those of the network that is left."""

import pytest
from safetensors.torch import save
from torch import nn

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.weights.own_files import save_weights
from autodepth.service.solving.branch_table import branch_table
from autodepth.trial.device.latency_table import LatencyTable


def test_costs_add_up_to_those_of_the_smaller_network(network, tmp_path):
    table, removed = branch_table(network, {}), (2, 3, 8)
    smaller, told = network.without(removed), table.without(removed)

    assert told["macs"] == smaller.total_macs
    assert told["parameters"] == smaller.total_parameters
    size = save_weights(smaller.module, tmp_path / "model.safetensors")
    assert told["size_bytes"] == pytest.approx(size, abs=64)
    assert "latency_ms" not in told


def test_branches_of_other_widths_cost_what_they_cost_in_the_network(network):
    table = branch_table(network, {}, (0.5, 0.75, 0.25))
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
    table = branch_table(network, {"latency_ms": latencies})
    assert table.without([1, 9])["latency_ms"] == pytest.approx(latencies.predict([1, 9]))


def test_no_narrow_branch_is_faster_for_each_channel_than_the_whole_one(network):
    """Of noisy tables, where narrow branches take nothing, or longer than wider ones."""
    numbers = [branch.index for branch in network.branches]
    narrow = {0.25: dict.fromkeys(numbers, 0.0), 0.5: dict.fromkeys(numbers, 1.5)}
    latencies = LatencyTable(
        device="cpu", threads=1, whole_ms=10.0, around_ms=1.0,
        branches_ms=dict.fromkeys(numbers, 1.0), narrow_ms=narrow,
    )  # fmt: skip
    for by_width in branch_table(network, {"latency_ms": latencies}, (0.25, 0.5)).branches.values():
        told = {width: costs["latency_ms"] for width, costs in by_width.items()}
        assert told == pytest.approx({1.0: 1.0, 0.5: 1.5, 0.25: 0.25})


def test_where_channels_come_in_multiples_each_network_is_there_once():
    network = build_network(NetworkSpec(name="resnet20", channel_multiple=8))
    table = branch_table(network, {}, (0.25, 0.5, 0.75))
    first = {branch.stage: branch.index for branch in reversed(network.branches)}
    offered = {stage: list(table.branches[index]) for stage, index in first.items()}

    assert offered == {1: [1.0, 0.5], 2: [1.0, 0.75, 0.5, 0.25], 3: [1.0, 0.75, 0.5, 0.25]}
    for stage, index in first.items():
        for width in offered[stage]:
            narrow = prune_width(network, {index: 1 - width})
            layers = [m for m in narrow.module.modules() if isinstance(m, nn.Conv2d)]
            assert all(layer.out_channels % 8 == 0 for layer in layers)
            assert table.branches[index][width]["macs"] == narrow.branches[index - 1].macs
