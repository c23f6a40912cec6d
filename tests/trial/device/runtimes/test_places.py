"""What networks take at places, and the tables of branches there."""

import pytest
import torch

from autodepth.errors import MeasurementError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.width import prune_width
from autodepth.space.sections.latency_section import LatencySection
from autodepth.trial.device.device import cpu_name
from autodepth.trial.device.latency_table import LatencyTable
from autodepth.trial.device.runtimes.places import latencies_at, table_at, where

CPU = torch.device("cpu")
SIZE = LatencySection(on="command", command="stat -c %s {onnx}")
BROKEN = LatencySection(on="command", command="exit 5 # {onnx}")


@pytest.fixture(scope="module")
def network():
    return build_network(NetworkSpec(name="resnet14", height=8, width=8))


@pytest.fixture(scope="module")
def table(network):
    return table_at("board", SIZE, network, CPU, widths=(0.5, 0.25))


def size(network):
    return latencies_at({"board": SIZE}, network, network, {}, CPU)[0]["latency_ms@board"]


def test_a_table_predicts_what_adds_up(network, table):
    """Sizes of files do, about: so do times on a device that takes a millisecond per byte."""
    assert table.whole_ms == size(network)
    for gone in ([2], [1, 5], [2, 3, 6], [1, 2, 3, 4, 5, 6]):
        assert table.predict(gone) == pytest.approx(size(network.without(gone)), rel=0.01)


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.6, 0.75])
def test_narrower_branches_are_told_between_what_was_measured(network, table, sparsity):
    smaller = prune_width(network.without([2]), sparsity)

    assert table.predict([2], sparsity) == pytest.approx(size(smaller), rel=0.05)


def test_a_place_that_tells_no_time_leaves_the_others_known(network):
    places = {"board": SIZE, "broken": BROKEN}
    known, unknown = latencies_at(places, network, network, {}, CPU)

    assert list(known) == ["latency_ms@board"]
    assert unknown == {"latency_ms@broken": "ended with status 5"}
    with pytest.raises(MeasurementError, match=r"^latency\.broken: ended with status 5$"):
        table_at("broken", BROKEN, network, CPU)


def test_a_latency_is_told_as_when_the_table_was_measured(network):
    table = LatencyTable(device="CPU", threads=1, whole_ms=1e6, around_ms=0.0, branches_ms={1: 1e6})
    place = {"torch": LatencySection(on="torch")}
    known, _ = latencies_at(place, network, network, {"latency_ms@torch": table}, CPU)

    assert known["latency_ms@torch"] == pytest.approx(1e6, rel=0.9)  # not some milliseconds


def test_a_place_is_called_by_its_runtime_or_by_the_name_it_was_given():
    assert where("board", SIZE, CPU) == "board"
    told = where("onnxruntime", LatencySection(on="onnxruntime"), CPU)
    assert told.startswith("onnxruntime 1.")
    assert told.endswith(cpu_name())
