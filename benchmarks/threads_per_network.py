"""Is a second CPU worth more to the network that trains, or to another one beside it?

A training step of ResNet-20, from the narrowest that `benchmarks/spaces/everything.yaml` begins
with to the whole, on one and on two CPU threads in turn. Two trials side by side compute twice as
much as one; a second thread pays where it makes a step shorter than by half, and brings the first
network sooner where it makes a step shorter at all. The least of all rounds counts, since other
work on the machine only makes steps longer. Two minutes:

    python benchmarks/threads_per_network.py

Writes benchmarks/results/threads_per_network.json and .md.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.stream_width import with_stream_width
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.trial.device.device import device_name

RESULTS = Path(__file__).parent / "results"
WIDTHS = (0.1875, 0.25, 0.5, 1.0)  # of the stream; everything.yaml begins with the first
IMAGES = {"digits": (1, 8), "cifar10": (3, 32)}
BATCH = 64
THREADS = (1, 2)
ROUNDS = 12
_PASSES = 2


def step_time(network: ResidualNetwork, inputs: torch.Tensor, threads: int) -> float:
    """Return the seconds that a training step takes, the mean of a few after one to warm up."""
    torch.set_num_threads(threads)
    module = network.module.train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)
    labels = torch.zeros(len(inputs), dtype=torch.long)
    for counted in range(_PASSES + 1):
        if counted == 1:
            started = time.perf_counter()
        optimizer.zero_grad()
        F.cross_entropy(module(inputs), labels).backward()
        optimizer.step()
    return (time.perf_counter() - started) / _PASSES


def row(data: str, width: float) -> dict[str, Any]:
    """Return the least step time of a network on each number of threads, in turn."""
    channels, size = IMAGES[data]
    spec = NetworkSpec(name="resnet20", classes=10, channels=channels, height=size, width=size)
    network = build_network(spec)
    if width < 1:
        network = with_stream_width(network, width, choose="first", fresh=True)
    inputs = torch.randn(BATCH, channels, size, size)
    found = [{n: step_time(network, inputs, n) for n in THREADS} for _ in range(ROUNDS)]
    least = {n: 1000 * min(each[n] for each in found) for n in THREADS}
    return {"data": data, "width": width, "one": least[1], "two": least[2]}


def table(rows: list[dict[str, Any]], conditions: str) -> str:
    """Return the rows as Markdown."""
    lines = [
        "A training step on one CPU thread and on two; see threads_per_network.py. A second trial",
        "on the second CPU makes 2 of it.",
        "",
        conditions,
        "",
        "| images | stream width | one thread, ms | two, ms | times as fast |",
        "|---|---|---|---|---|",
    ]
    for each in rows:
        one, two = each["one"], each["two"]
        lines.append(
            f"| {each['data']} | {each['width']:g} | {one:.1f} | {two:.1f} | {one / two:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write both files."""
    torch.manual_seed(0)
    rows = [row(data, width) for data in IMAGES for width in WIDTHS]
    conditions = (
        f"ResNet-20, batches of {BATCH}, the least of {ROUNDS} rounds in turn; "
        f"{device_name(torch.device('cpu'))}, torch {torch.__version__}, seed 0."
    )
    told = {"conditions": conditions, "rows": rows}
    (RESULTS / "threads_per_network.json").write_text(json.dumps(told, indent=1) + "\n")
    (RESULTS / "threads_per_network.md").write_text(table(rows, conditions))
    print(table(rows, conditions))


if __name__ == "__main__":
    main()
