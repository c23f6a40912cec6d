"""What `bench` measures: times beside each other, memory, size, and energy where it is counted."""

import json
import os
from importlib.util import find_spec

import pytest

from autodepth.errors import BundleError, InputError
from autodepth.export.bundles.bundle import read_architecture
from autodepth.export.speed.benchmark import benchmark_bundle, places_to_time
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.trial.device.runtimes.formats.onnx_file import write_onnx
from autodepth.trial.device.runtimes.formats.onnx_session import peak_bytes
from autodepth.trial.device.runtimes.formats.torch_program import make_program


def test_an_export_is_timed_beside_its_parent_in_both_runtimes(exported, heard):
    to, point, _ = exported
    threads = len(os.sched_getaffinity(0))
    found = benchmark_bundle(to, against="parent", seconds=0.05)
    rows = [(t.runtime, t.batch, t.network) for t in found.timings]

    assert sorted(rows) == sorted(
        (runtime, batch, network)
        for runtime, networks in (
            ("PyTorch", ("export", "parent")),
            ("onnxruntime", ("export", "int8", "parent")),  # PyTorch runs no eight-bit file
        )
        for batch in (1, 128)
        for network in networks
    )
    assert found.threads == threads
    assert found.macs["export"] == point.point.macs < found.macs["parent"]
    assert found.onnx_bytes["export"] == (to / "model.onnx").stat().st_size
    assert found.onnx_bytes["export"] < found.onnx_bytes["parent"]
    for timing in found.timings:
        assert 0 < timing.median_ms < 10_000
        assert timing.iqr_ms >= 0
        assert timing.calls >= 7
        arrives = found.arrives(timing)
        assert arrives < 1.5 if timing.network == "export" else arrives is None
        assert timing.device
    json.dumps(found.to_dict(), allow_nan=False)
    assert sum(what.startswith("timing ") for what in heard) == 4


def test_every_runner_is_one_of_the_table_and_one_that_fails_is_told(exported):
    to, _, _ = exported
    found = benchmark_bundle(
        to,
        against="parent",
        places=places_to_time(
            ["onnxruntime", "openvino", "command"],
            command="test {batch} = 1 && stat -c %s {onnx}",
            batches=(1, 4),
            threads=1,
        ),
        seconds=0.05,
    )
    rows = {(t.runtime, t.batch, t.network): t for t in found.timings}

    measured = {("onnxruntime", 1), ("onnxruntime", 4), ("command", 1)}
    unknown = {"command at batch 4"}
    openvino = {("OpenVINO", 1), ("OpenVINO", 4)}
    if find_spec("openvino") is None:
        unknown |= {f"{name} at batch {batch}" for name, batch in openvino}
    else:
        measured |= openvino
    assert {(name, batch) for name, batch, _ in rows} == measured
    assert found.unknown.keys() == unknown
    assert found.unknown["command at batch 4"] == "ended with status 1"
    assert found.versions.keys() == {name for name, _ in measured} - {"command"}
    timing = rows["command", 1, "export"]
    sizes = [found.onnx_bytes[name] for name in ("export", "parent")]
    assert timing.median_ms == sizes[0]
    removed = 1 - found.macs["export"] / found.macs["parent"]
    assert found.arrives(timing) == pytest.approx((1 - sizes[0] / sizes[1]) / removed)
    assert found.arrives(rows["command", 1, "parent"]) is None
    int8 = rows["command", 1, "int8"]
    assert int8.median_ms == found.onnx_bytes["int8"]
    assert found.beside(int8).network == "parent"
    assert found.arrives(int8) is None


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"on": ["onnxrt"]},
            "--on must be of torch, .* but got 'onnxrt', did you mean 'onnxruntime'",
        ),
        ({"on": ["command"]}, "--command and --on command must be given together"),
        ({"command": "x {onnx}"}, "--command and --on command must be given together"),
        ({"on": ["command"], "command": "x"}, r"--command must name \{onnx\}"),
    ],
)
def test_runners_that_are_none_are_told(asked, said):
    with pytest.raises(InputError, match=said):
        places_to_time(**asked)


def test_memory_rises_with_the_batch(tmp_path):
    network = build_network(NetworkSpec(name="resnet8"))
    file = tmp_path / "model.onnx"
    write_onnx(make_program(network.module.eval(), (3, 32, 32)), file)
    one, many = (peak_bytes(file, batch, (3, 32, 32), threads=1) for batch in (1, 512))

    assert file.stat().st_size < one < 200e6
    # At the first stage 16 channels of 32x32 floats are held for every image, at least twice.
    assert many - one > 511 * 16 * 32 * 32 * 4


def test_a_damaged_bundle_is_not_measured(bundle):
    to, _ = bundle
    (to / "model.onnx").write_bytes(b"x")

    with pytest.raises(BundleError, match=r"model\.onnx was altered"):
        benchmark_bundle(to)


def test_networks_for_other_images_are_not_compared(exported, tmp_path):
    from dataclasses import replace

    from autodepth.export.writing import write_bundle
    from autodepth.networks.weights.own_files import save_weights

    to, _, _ = exported
    spec = NetworkSpec(name="resnet14")
    network = build_network(spec)
    save_weights(network.module, tmp_path / "w.safetensors")
    write_bundle(
        tmp_path / "colour",
        weights=tmp_path / "w.safetensors",
        architecture=replace(
            read_architecture(to), network=spec, removed=(), widths={}, macs=network.total_macs
        ),
        policy={},
        record=json.loads((to / "record.json").read_text()),
        formats=(),
    )

    with pytest.raises(InputError, match=r"takes 1x8x8 and .*colour 3x32x32"):
        benchmark_bundle(to, against=str(tmp_path / "colour"), seconds=0.05)
