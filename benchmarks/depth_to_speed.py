"""Does depth turn into speed? Latency of exports relative to the parent, beside relative MACs.

A CIFAR ResNet with a third and two thirds of its branches removed, evenly over the stages, and
about the same MACs by narrower branches (inner channels of least magnitude).
Random weights: the time of dense kernels does not depend on them. PyTorch and onnxruntime, batches
of 1 and 128, all networks by turns, on one CPU thread, of which the computing time counts. Two
minutes for ResNet-56:

    python benchmarks/depth_to_speed.py --network resnet56

glibc may give the memory of large layers back after every pass and fetch it again page by page;
which network pays for that differs from run to run. So the process keeps its memory here, as under
the allocators that servers use; `--glibc` leaves it so.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.trial.device.device import cpu_name
from autodepth.trial.device.latency import clock_of, latencies_ms
from autodepth.trial.device.runtimes.formats.onnx_file import write_onnx
from autodepth.trial.device.runtimes.formats.onnx_session import open_onnx
from autodepth.trial.device.runtimes.formats.torch_program import make_program
from autodepth.trial.device.turns import times_by_turns

RESULTS = Path(__file__).parent / "results"
SHARES = (1 / 3, 2 / 3)  # of the branches
BATCHES = (1, 128)
PROMISED = 0.85
KEPT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32)}
PARENT = "parent"


def main() -> None:
    """Measure, and write results/depth_to_speed_NETWORK.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="resnet56", help="resnet20, resnet56, ...")
    parser.add_argument("--glibc", action="store_true", help="leave glibc's malloc as it is")
    arguments = parser.parse_args()
    name, kept = arguments.network, not arguments.glibc
    if kept and not KEPT.keys() <= os.environ.keys():  # malloc reads them as a process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEPT)
    torch.set_num_threads(1)
    whole = build_network(NetworkSpec(name=name, height=32, width=32))
    networks = {PARENT: whole, **dict(smaller(whole))}
    rows = [row for runtime in (in_pytorch, in_onnxruntime) for row in runtime(networks)]
    found = {
        "network": f"{name}, 32 px",
        "cpu": cpu_name(),
        "memory": "kept by the process" if kept else "glibc's malloc as it is",
        "versions": {name: version(name) for name in ("torch", "onnxruntime")},
        "rows": rows,
    }
    to = RESULTS / f"depth_to_speed_{name}{'' if kept else '_glibc'}"
    to.with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n")
    to.with_suffix(".md").write_text(table(found))
    print(table(found))


def smaller(whole: ResidualNetwork) -> Iterator[tuple[str, ResidualNetwork]]:
    """Yield networks with fewer branches, each with one as large that has narrower branches."""
    branches = len(whole.branches)
    for share in SHARES:
        count = round(share * branches)
        shallow = whole.without(evenly(whole, count))
        yield f"depth: {count} of {branches} branches removed", shallow
        in_branches = sum(branch.macs for branch in whole.branches)
        narrower = (whole.total_macs - shallow.total_macs) / in_branches
        yield f"width: {narrower:.0%} of channels in branches", prune_width(whole, narrower)


def evenly(network: ResidualNetwork, count: int) -> list[int]:
    """Return as many removable branches of every stage."""
    stages = range(1, network.num_stages + 1)
    of = {s: [b.index for b in network.branches if b.stage == s and b.removable] for s in stages}
    return [number for stage in stages for number in of[stage][-(count // len(stages)) :]]


def in_pytorch(networks: dict[str, ResidualNetwork]) -> Iterator[dict[str, Any]]:
    """Yield the times of all networks in PyTorch, batch by batch."""
    modules = []
    for network in networks.values():
        module = network.module.eval()
        modules.append(module.to(memory_format=torch.channels_last))
    for batch in BATCHES:
        yield from rows("PyTorch", batch, networks, latencies_ms(modules, (3, 32, 32), batch))


def in_onnxruntime(networks: dict[str, ResidualNetwork]) -> Iterator[dict[str, Any]]:
    """Yield the times of all networks in onnxruntime, batch by batch."""
    with tempfile.TemporaryDirectory() as scratch:
        runs = []
        for number, network in enumerate(networks.values()):
            path = Path(scratch) / f"{number}.onnx"
            module = network.module.eval().to(memory_format=torch.contiguous_format)
            write_onnx(make_program(module, network.input_shape), path)
            runs.append(open_onnx(path, threads=1))
        for batch in BATCHES:
            images = np.zeros((batch, 3, 32, 32), dtype=np.float32)
            calls: list[Callable[[], object]] = [partial(run, images) for run in runs]
            clock = clock_of(torch.device("cpu"))
            times = [found.ms for found in times_by_turns(calls, clock)]
            yield from rows("onnxruntime", batch, networks, times)


def rows(
    runtime: str, batch: int, networks: dict[str, ResidualNetwork], times: list[float]
) -> Iterator[dict[str, Any]]:
    """Yield what was measured of each network, relative to the first."""
    macs = [network.total_macs for network in networks.values()]
    for name, own, ms in zip(networks, macs, times, strict=True):
        promised, got = macs[0] / own, times[0] / ms
        print(f"{runtime}, batch {batch}, {name}: {got:.2f}x of {promised:.2f}x", flush=True)
        yield {
            "runtime": runtime,
            "batch": batch,
            "network": name,
            "macs_left": own / macs[0],
            "time_left": ms / times[0],
            "speed_up": got,
            "of_promised": got / promised,
        }


def table(found: dict[str, Any]) -> str:
    """Return what came out, as Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    lines = [
        "# Depth turns into speed",
        "",
        f"{found['network']}, one thread of {found['cpu']}, of which the computing time counts; "
        f"networks by turns. Memory: {found['memory']}. {versions}. Random weights.",
        "",
        "`MACs left` and `time left` are shares of the parent's. `of promised` is the speed-up "
        f"over the one that MACs promise; at batch 128, {PROMISED} is what removal should reach.",
        "",
        "| network | runtime | batch | MACs left | time left | speed-up | of promised |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['network']} | {row['runtime']} | {row['batch']} | "
        f"{row['macs_left']:.1%} | {row['time_left']:.1%} | {row['speed_up']:.2f}x | "
        f"{row['of_promised']:.2f} |"
        for row in found["rows"]
        if row["network"] != PARENT
    ]
    depth = [r for r in found["rows"] if r["network"].startswith("depth") and r["batch"] == 128]
    worst = min(row["of_promised"] for row in depth)
    lines += ["", f"Removed branches at batch 128: {worst:.2f} of what MACs promise, at the least."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
