"""Every runner takes networks through the same three methods."""

import pytest
import torch

from autodepth.errors import MeasurementError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.space.sections.latency_section import LatencySection
from autodepth.trial.device.runtimes.runners import open_runner

SIZE = "stat -c %s {onnx}"
"""A device on which a network takes a millisecond per byte of its file."""


@pytest.fixture(scope="module")
def network():
    return build_network(NetworkSpec(name="resnet8", channels=1, height=8, width=8))


def measured(place, networks, seconds=0.01):
    runner = open_runner(place)
    try:
        prepared = [runner.prepare(n.module, n.input_shape) for n in networks]
        return runner.measure(prepared, seconds)
    finally:
        runner.close()


@pytest.mark.parametrize(
    "on",
    [
        "torch", "onnxruntime", "openvino", "executorch",
        pytest.param("torch-compile", marks=pytest.mark.long),
    ],
)  # fmt: skip
def test_networks_are_timed_by_turns(on, network):
    if on in {"openvino", "executorch"}:
        pytest.importorskip(on)
    before = {name: tensor.clone() for name, tensor in network.module.state_dict().items()}
    found = measured(LatencySection(on=on, batch=2), [network, network.without([1, 2, 3])])

    assert len(found) == 2
    assert all(0 < each.ms < 10_000 and each.calls >= 9 for each in found)
    for name, tensor in network.module.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("on", ["openvino", "executorch"])
def test_a_runtime_that_is_not_installed_says_how_to_have_it(on, monkeypatch):
    monkeypatch.setattr("autodepth.trial.device.runtimes.runners.find_spec", lambda _: None)
    with pytest.raises(MeasurementError, match=rf"pip install autodepth\[{on}\]"):
        open_runner(LatencySection(on=on))


def test_a_program_of_ones_own_is_given_each_file_with_its_settings(network, tmp_path):
    told = tmp_path / "told"
    command = f"echo {{onnx}} {{batch}} {{threads}} {{warm_up}} >> {told}; {SIZE}"
    place = LatencySection(on="command", command=command, batch=4, threads=2, warm_up=0)
    whole, bare = measured(place, [network, network.without([1, 2, 3])])
    lines = [line.split() for line in told.read_text().splitlines()]

    assert whole.ms > bare.ms > 1000
    assert [line[1:] for line in lines] == [["4", "2", "0"]] * 2
    assert lines[0][0] != lines[1][0]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("exit 7 # {onnx}", "ended with status 7"),
        ("echo {onnx} is fast", "must print milliseconds"),
        ("sleep 60; echo {onnx}", "took longer than 1 s"),
    ],
)
def test_a_program_that_tells_no_time_is_an_error_of_its_own(command, said, network):
    place = LatencySection(on="command", command=command, limit="1s")
    with pytest.raises(MeasurementError, match=said):
        measured(place, [network])


def test_files_are_gone_when_a_runner_is_closed(network):
    runner = open_runner(LatencySection(on="command", command=SIZE))
    file = runner.prepare(network.module, network.input_shape)

    assert file.stat().st_size == runner.measure([file])[0].ms
    runner.close()
    assert not file.parent.exists()


def test_an_onnx_file_goes_where_onnx_is_run_and_nowhere_else(network, tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"12345")
    runner = open_runner(LatencySection(on="command", command=SIZE))

    assert runner.measure([runner.prepare(file, (1, 8, 8))])[0].ms == 5
    runner.close()
    for on in ("torch", "torch-compile"):
        elsewhere = open_runner(LatencySection(on=on))
        with pytest.raises(MeasurementError, match="runs no ONNX file"):
            elsewhere.prepare(file, (1, 8, 8))
        elsewhere.close()


def test_a_runtime_that_fails_is_told_by_its_last_words(network, tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"no network at all")
    runner = open_runner(LatencySection(on="onnxruntime"))
    with pytest.raises(MeasurementError, match=r"ended with status 1: .*"):
        runner.measure([runner.prepare(file, (1, 8, 8))])
    runner.close()
