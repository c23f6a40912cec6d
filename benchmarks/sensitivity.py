"""What ablation of every branch costs with the prefix reused, relative to whole passes.

The naive way runs the network once as it is and once without each branch. Reusing what lies
before each gate has about half of that to do (limit: (1 + sum of suffixes) / (L + 1)). Both run
in turn, in an order shuffled every round, on the same images, and must give the same scores to
the bit. CPU time counts. Writes benchmarks/results/sensitivity_cpu.{json,md}.

    python benchmarks/sensitivity.py        # ResNet-56 and ResNet-20, one thread, 4 minutes
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.gates.masked_runs import WHOLE, outputs_without

RESULTS = Path(__file__).parent / "results"
BOUND = 0.6  # of whole passes, for ResNet-56
Scores = dict[frozenset[int], Tensor]


@torch.inference_mode()
def naive(gated: GatedNetwork, images: Tensor) -> Scores:
    """Run the whole network without each branch, and as it is."""
    scores = {}
    for number in gated.removable_gates():
        gated.bypass(number)
        scores[frozenset({number})] = gated(images)
    gated.open_all()
    return scores | {WHOLE: gated(images)}


def reused(gated: GatedNetwork, images: Tensor) -> Scores:
    """Compute what lies before each branch once."""
    masks = [*({number} for number in gated.removable_gates()), WHOLE]
    return dict(outputs_without(gated, images, masks))


def limit(name: str) -> float:
    """Return the arithmetic limit of the ratio: multiply-accumulates of both ways."""
    network = build_network(NetworkSpec(name=name))
    total, before, suffixes = network.total_macs, network.around[0].macs, 0
    for branch in network.branches:
        suffixes += total - before - branch.macs
        before += branch.macs
    whole = sum(total - branch.macs for branch in network.branches)
    return (total + suffixes) / (total + whole)


def measure(name: str, *, rounds: int, batch: int) -> dict[str, float | int | str]:
    """Time both ways in turn; check that they agree."""
    gated = GatedNetwork(build_network(NetworkSpec(name=name)))
    gated.eval()
    gated.open_all()
    images = torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    images = images.contiguous(memory_format=torch.channels_last)
    ways: dict[str, Callable[[GatedNetwork, Tensor], Scores]] = {"naive": naive, "reused": reused}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    order = random.Random(0)
    for number in range(rounds + 1):
        found = {}
        for way in order.sample(list(ways), len(ways)):
            start = time.process_time()
            found[way] = ways[way](gated, images)
            if number:  # the first round warms up
                seconds[way].append(time.process_time() - start)
        same = all(torch.equal(found["naive"][b], found["reused"][b]) for b in found["naive"])
        if not same or found["naive"].keys() != found["reused"].keys():
            raise SystemExit(f"{name}: the two ways differ")
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    ratios = [r / n for r, n in zip(seconds["reused"], seconds["naive"], strict=True)]
    return {
        "network": name,
        "branches": len(gated.removable_gates()),
        "naive_ms": medians["naive"] * 1e3,
        "reused_ms": medians["reused"] * 1e3,
        "ratio": medians["reused"] / medians["naive"],
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "limit": limit(name),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--networks", nargs="+", default=["resnet20", "resnet56"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=128)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(n, rounds=arguments.rounds, batch=arguments.batch) for n in arguments.networks]
    conditions = {
        "processor": platform.processor() or platform.machine(),
        "threads": 1,
        "rounds": arguments.rounds,
        "batch": arguments.batch,
        "image": "3x32x32, channels_last, float32",
        "seed": 0,
        "versions": {"python": platform.python_version(), "torch": version("torch")},
    }
    text = (
        f"Ablation of every branch, prefix reused, relative to whole passes: CPU time, "
        f"{arguments.rounds} interleaved rounds, medians, one thread, batch {arguments.batch} of "
        f"3x32x32, torch {version('torch')}, random weights. Scores are equal to the bit.\n\n"
        "| network | branches | naive ms | reused ms | ratio (lowest to highest round) | limit |\n"
        "|---|---|---|---|---|---|\n"
    ) + "".join(
        f"| {r['network']} | {r['branches']} | {r['naive_ms']:.0f} | {r['reused_ms']:.0f} "
        f"| {r['ratio']:.3f} ({r['ratio_low']:.3f} to {r['ratio_high']:.3f}) "
        f"| {r['limit']:.3f} |\n"
        for r in rows
    )
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "sensitivity_cpu.md").write_text(text)
    content = {"conditions": conditions, "rows": rows}
    (RESULTS / "sensitivity_cpu.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
