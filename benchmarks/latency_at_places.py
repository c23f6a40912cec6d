"""Predicted latency against measured, in onnxruntime and OpenVINO, by depth, width and both.

The table of branch kinds is measured first, as a search does before its first trial. Then networks
between 100 % and 25 % of the multiply-accumulates are measured whole, all by turns in one process
with the whole one: a third with branches removed, a third with narrower branches, a third with
both. One thread, on which the time that the process computed counts; batches of 1 and 32. Rows of
other places and batches that the result file has are kept, so a table can be made in pieces.

    python benchmarks/latency_at_places.py [--network NAME --image PIXELS --each N]
    python benchmarks/latency_at_places.py --on openvino --batch 32
    python benchmarks/latency_at_places.py --network torchvision:mobilenet_v3_large --image 64 \
        --multiple 4
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.space.sections.latency_section import LatencySection
from autodepth.study.plan.timing import WIDTHS
from autodepth.trial.device.latency_table import prediction_error
from autodepth.trial.device.runtimes.places import table_at, where
from autodepth.trial.device.runtimes.runners import open_runner

RESULTS = Path(__file__).parent / "results"
WAYS = ("depth", "width", "both")
CPU = torch.device("cpu")


def main() -> None:
    """Measure, and write results/latency_at_places_NETWORK.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--network", default="resnet56")
    parser.add_argument("--image", type=int, default=32)
    parser.add_argument("--each", type=int, default=7, help="networks of each way")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each network")
    parser.add_argument("--on", default="onnxruntime,openvino")
    parser.add_argument("--batch", default="1,32")
    parser.add_argument("--multiple", type=int, default=1, help="that channels left are one of")
    given = parser.parse_args()
    torch.set_num_threads(1)
    spec = NetworkSpec(
        name=given.network,
        height=given.image,
        width=given.image,
        channel_multiple=given.multiple,
    )
    whole = build_network(spec)
    drawn = candidates(whole, random.Random(given.seed), given.each)
    conditions = {"network": given.network, "image": given.image, "seed": given.seed}
    name = given.network.replace(":", "_")
    if given.multiple > 1:
        conditions["channel_multiple"] = given.multiple
        name += f"_multiples_of_{given.multiple}"
    to = RESULTS / f"latency_at_places_{name}"
    rows = kept(to.with_suffix(".json"), conditions)
    for on in given.on.split(","):
        for batch in map(int, given.batch.split(",")):
            place = LatencySection.model_validate({"on": on, "batch": batch, "limit": "10min"})
            rows = [row for row in rows if (row["on"], row["batch"]) != (on, batch)]
            rows += measured(on, place, whole, drawn, given.seconds)
            text = json.dumps({**conditions, "rows": rows}, indent=1) + "\n"
            to.with_suffix(".json").write_text(text)
            to.with_suffix(".md").write_text(table(rows, conditions))
    print(table(rows, conditions))


def kept(file: Path, conditions: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows that a file has from earlier runs under the same conditions."""
    told = json.loads(file.read_text()) if file.exists() else {}
    return told["rows"] if conditions.items() <= told.items() else []


def candidates(
    whole: ResidualNetwork, draw: random.Random, each: int
) -> list[tuple[str, list[int], float, ResidualNetwork]]:
    """Return networks with the way, branches and share of channels that they lost."""
    removable = [branch.index for branch in whole.branches if branch.removable]
    found: list[tuple[str, list[int], float, ResidualNetwork]] = []
    for way in WAYS:
        while sum(name == way for name, *_ in found) < each:
            deepest, narrowest = (0.8, 0.75) if way != "both" else (0.6, 0.6)
            count = draw.randint(1, round(deepest * len(removable)))
            gone = [] if way == "width" else sorted(draw.sample(removable, count))
            sparsity = 0.0 if way == "depth" else round(draw.uniform(0.05, narrowest), 3)
            network = whole.without(gone)
            network = prune_width(network, sparsity) if sparsity else network
            if network.total_macs >= 0.25 * whole.total_macs:
                found.append((way, gone, sparsity, network))
    return found


def measured(
    on: str,
    place: LatencySection,
    whole: ResidualNetwork,
    drawn: Sequence[tuple[str, list[int], float, ResidualNetwork]],
    seconds: float,
) -> list[dict[str, Any]]:
    """Predict the networks of one place and measure them by turns."""
    found = table_at(on, place, whole, CPU, widths=WIDTHS)
    print(f"{on}, batch {place.batch}: table measured", flush=True)
    runner = open_runner(place)
    networks = [whole, *(network for *_, network in drawn)]
    prepared = [runner.prepare(n.module, n.input_shape) for n in networks]
    beside, *times = runner.measure(prepared, seconds)
    runner.close()
    return [
        {
            "place": where(on, place, CPU),
            "on": on,
            "batch": place.batch,
            "way": way,
            "removed": gone,
            "filter_sparsity": sparsity,
            "macs_left": round(network.total_macs / whole.total_macs, 4),
            "predicted_ms": round(found.predict(gone, sparsity), 4),
            "measured_ms": round(own.ms / beside.ms * found.whole_ms, 4),
            "whole_ms": round(found.whole_ms, 4),
        }
        for (way, gone, sparsity, network), own in zip(drawn, times, strict=True)
    ]


def table(rows: Sequence[dict[str, Any]], conditions: dict[str, Any]) -> str:
    """Return what came out, as Markdown."""
    places = ", ".join(dict.fromkeys(row["place"] for row in rows))
    lines = [
        f"# Latency at places, predicted and measured: {conditions['network']}",
        "",
        f"{conditions['image']} px, seed {conditions['seed']}, one thread, the time that the "
        f"process computed; {places}. {_multiples(conditions)}Arrives: the share of the "
        "multiply-accumulates removed that arrives as time saved, median. The machine was shared "
        "with other work.",
        "",
        "| runtime | batch | by | networks | median error | 90th percentile | rank correlation "
        "| arrives |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for on, batch in dict.fromkeys((row["on"], row["batch"]) for row in rows):
        for way in (*WAYS, "all"):
            some = [
                row
                for row in rows
                if (row["on"], row["batch"]) == (on, batch) and way in {row["way"], "all"}
            ]
            predicted, times = ([row[f"{k}_ms"] for row in some] for k in ("predicted", "measured"))
            error = asdict(prediction_error(predicted, times))
            errors = [abs(p - m) / m for p, m in zip(predicted, times, strict=True)]
            arrives = [
                (1 - row["measured_ms"] / row["whole_ms"]) / (1 - row["macs_left"]) for row in some
            ]
            lines.append(
                f"| {on} | {batch} | {way} | {len(some)} | {error['median_error']:.1%} | "
                f"{statistics.quantiles(errors, n=10, method='inclusive')[-1]:.1%} | "
                f"{error['rank_correlation']:.2f} | {statistics.median(arrives):.0%} |"
            )
    return "\n".join(lines) + "\n"


def _multiples(conditions: dict[str, Any]) -> str:
    multiple = conditions.get("channel_multiple")
    return f"Channels left are multiples of {multiple} (`channel_multiple`). " if multiple else ""


if __name__ == "__main__":
    main()
