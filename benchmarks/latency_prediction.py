"""How far is a predicted latency from a measured one? 30 candidates of each network.

The table of branches is measured first, as a search does before its first trial. Then 30 networks
with branches removed at random are measured by turns with the whole one, as trials are. One CPU
thread, on which the time that this thread computed counts. About two minutes:

    python benchmarks/latency_prediction.py [--network NAME --image PIXELS]
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.trial.device.latency import latencies_ms, measure_table
from autodepth.trial.device.latency_table import PredictionError, prediction_error

RESULTS = Path(__file__).parent / "results"
CANDIDATES = 30
NETWORKS = (
    NetworkSpec(name="resnet20", height=32, width=32),
    NetworkSpec(name="resnet56", height=32, width=32),
    NetworkSpec(name="torchvision:resnet50", height=64, width=64),
)


def main() -> None:
    """Measure, and write results/latency_prediction.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--network", help="this one alone; else three")
    parser.add_argument("--image", type=int, default=32)
    given = parser.parse_args()
    seed, image = given.seed, given.image
    networks = NETWORKS
    if given.network:
        networks = (NetworkSpec(name=given.network, height=image, width=image),)
    torch.set_num_threads(1)
    studies: list[dict[str, Any]] = []
    conditions = {"seed": seed, "torch": version("torch"), "candidates": CANDIDATES}
    to = RESULTS / f"latency_prediction{'_' + given.network if given.network else ''}"
    for spec in networks:
        studies.append(study(spec, seed))
        text = json.dumps({**conditions, "networks": studies}, indent=2) + "\n"
        to.with_suffix(".json").write_text(text)
        to.with_suffix(".md").write_text(table(studies, conditions))
    print(table(studies, conditions))


def study(spec: NetworkSpec, seed: int) -> dict[str, Any]:
    """Predict and measure the candidates of one network."""
    whole = build_network(spec)
    found = measure_table(whole, torch.device("cpu"), threads=1)
    whole.module.eval().to(memory_format=torch.channels_last)
    print(f"{spec.name}: table measured", flush=True)
    drawn = candidates(whole, random.Random(seed))
    networks = [whole.without(removed) for removed in drawn]
    beside, *times = latencies_ms([n.module for n in (whole, *networks)], whole.input_shape)
    rows = [
        {
            "removed": sorted(removed),
            "macs_left": network.total_macs / whole.total_macs,
            "predicted_ms": found.predict(removed),
            "measured_ms": own / beside * found.whole_ms,
        }
        for removed, network, own in zip(drawn, networks, times, strict=True)
    ]
    predicted, measured = (
        [row[f"{what}_ms"] for row in rows] for what in ("predicted", "measured")
    )
    error = prediction_error(predicted, measured)
    by_macs = [row["macs_left"] * found.whole_ms for row in rows]
    return {
        "network": spec.name,
        "image": spec.height,
        "table": found.to_dict(),
        "error": asdict(error),
        "error_of_macs": asdict(prediction_error(by_macs, measured)),
        "rows": rows,
    }


def candidates(network: ResidualNetwork, draw: random.Random) -> list[list[int]]:
    """Return sets of branches to remove, of every size equally often."""
    removable = [branch.index for branch in network.branches if branch.removable]
    return [draw.sample(removable, draw.randint(1, len(removable) - 1)) for _ in range(CANDIDATES)]


def table(studies: list[dict[str, Any]], conditions: dict[str, Any]) -> str:
    """Return what came out, as Markdown."""
    lines = [
        "# Latency, predicted and measured",
        "",
        f"{conditions['candidates']} networks each, branches removed at random (seed "
        f"{conditions['seed']}), one image, one thread of {studies[0]['table']['device']}, PyTorch "
        f"{conditions['torch']}. The time that the thread computed counts. The machine was shared "
        "with other work. Below the table's prediction: the same from the share of MACs alone.",
        "",
        "| network | predicted by | median error | rank correlation |",
        "|---|---|---|---|",
    ]
    for each in studies:
        for name, key in (("table of branches", "error"), ("MACs", "error_of_macs")):
            error = PredictionError(**each[key])
            lines.append(
                f"| {each['network']}, {each['image']} px | {name} | {error.median_error:.1%} | "
                f"{error.rank_correlation:.3f} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
