"""The program that times files prints one latency per file, in their order."""

import json
import subprocess
import sys

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.trial.device.runtimes.formats.onnx_file import write_onnx_to_time


def test_it_prints_a_latency_per_file(tmp_path):
    network = build_network(NetworkSpec(name="resnet8", channels=1, height=8, width=8))
    files = []
    for count, smaller in enumerate((network, network.without([1, 2, 3]))):
        files.append(tmp_path / f"{count}.onnx")
        write_onnx_to_time(smaller.module.eval(), (2, *network.input_shape), files[-1])
    done = subprocess.run(
        [sys.executable, "-m", "autodepth.trial.device.runtimes.timed", "--on", "onnxruntime",
         "--threads", "1", "--batch", "2", "--warm-up", "1", "--seconds", "0.01",
         *map(str, files)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = json.loads(done.stdout.splitlines()[-1])

    assert len(told) == 2
    assert all(latency["ms"] > 0 and latency["calls"] > 0 for latency in told)
