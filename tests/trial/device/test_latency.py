"""A table of branches tells what networks take, and when a bound is broken for certain."""

import pytest
import torch

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.space.objectives import parse_constraint
from autodepth.trial.device import latency
from autodepth.trial.device.latency import (
    fit_table,
    latencies_ms,
    latency_beside,
    measure_table,
)
from autodepth.trial.device.latency_table import LatencyTable, prediction_error

TABLE = LatencyTable(
    device="a CPU", threads=1, whole_ms=10.0, around_ms=2.0, branches_ms={1: 3.0, 2: 1.0, 3: 4.0}
)


@pytest.fixture(scope="module")
def network():
    return build_network(NetworkSpec(name="resnet14", channels=1, height=8, width=8))


def convolutions_as_time(modules, input_shape, batch=1):
    """As if every convolution took a millisecond, and everything else two together."""
    kinds = [[type(part) for part in module.modules()] for module in modules]
    return [2.0 + found.count(torch.nn.Conv2d) for found in kinds]


def test_the_table_finds_again_what_each_branch_takes(network, monkeypatch):
    monkeypatch.setattr(latency, "latencies_ms", convolutions_as_time)
    table = measure_table(network, torch.device("cpu"), threads=1)
    smaller = network.without([2, 5])

    assert table.branches_ms == pytest.approx(dict.fromkeys(range(1, 7), 2.0))
    assert table.around_ms == pytest.approx(3.0)  # the first convolution is in no branch
    assert table.whole_ms == 15.0
    assert table.predict([2, 5]) == pytest.approx(
        convolutions_as_time([smaller.module], (1, 8, 8))[0]
    )


def test_no_kind_of_branch_takes_less_than_nothing(network):
    """Narrow branches that make the rest faster, as noise has it, leave what others take."""
    macs = {branch.index: branch.macs for branch in network.branches}

    def measure(networks):
        shares = [[b.macs / macs[b.index] for b, _ in n.kept()] for n in networks]
        return [3.0 + sum(2.0 if share == 1 else -0.05 for share in own) for own in shares]

    table = fit_table(network, measure, "made", threads=1, widths=(0.5,))

    assert table.narrow_ms[0.5] == dict.fromkeys(range(1, 7), 0.0)
    assert table.branches_ms == pytest.approx(dict.fromkeys(range(1, 7), 2.0), rel=0.03)
    assert table.around_ms == pytest.approx(3.0, rel=0.03)


def test_measured_times_are_told_as_where_the_table_was_measured(network, monkeypatch):
    monkeypatch.setattr(latency, "latencies_ms", convolutions_as_time)

    assert latency_beside(network.without([1]), network, TABLE) == pytest.approx(13 / 15 * 10)
    assert latency_beside(network, network, None) is None


def test_real_networks_take_turns(network):
    modules = [network.module.eval(), network.without([1, 2, 3, 4, 5, 6]).module]

    assert all(0 < ms < 1000 for ms in latencies_ms(modules, (1, 8, 8), batch=2))


def test_a_bound_is_broken_only_where_a_prediction_is_over_it_with_a_margin():
    bound = parse_constraint("latency_ms <= 50%")  # of 10 ms

    assert TABLE.breaks(bound, 5.4) == 0.0
    assert TABLE.breaks(bound, 6.0) == pytest.approx(0.08)
    assert TABLE.breaks(parse_constraint("latency_ms >= 6"), 5.6) == 0.0
    assert TABLE.breaks(parse_constraint("latency_ms >= 6"), 3.0) > 0.0


def test_narrower_branches_are_predicted_by_what_their_macs_are():
    assert TABLE.predict([1], filter_sparsity=0.5) == pytest.approx(2.0 + 0.5 * 5.0)


def test_a_table_comes_back_from_json_as_it_was():
    assert LatencyTable.from_dict(TABLE.to_dict()) == TABLE


def test_errors_of_predictions_are_medians_and_ranks():
    error = prediction_error([1.0, 2.0, 3.0, 4.0], [1.0, 2.5, 3.0, 2.0])

    assert error.median_error == pytest.approx(0.1)
    assert error.rank_correlation == pytest.approx(0.4)
    assert prediction_error([1.0, 2.0], [1.0, 2.0]).rank_correlation is None
    assert prediction_error([1.0] * 3, [1.0, 2.0, 3.0]).rank_correlation is None
