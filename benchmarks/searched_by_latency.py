"""Latency as an objective beside MACs: what does a search for the one buy that the other does not?

Two searches of the same space, seed and number of trials, one by accuracy and the latency in
onnxruntime, one by accuracy and MACs, whose latencies are measured all the same. For each accuracy
that both reach: the fastest network of each. Handwritten digits, a few minutes:

    python benchmarks/searched_by_latency.py [--trials 12 --seed 0 --set PATH=VALUE]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.search.search import search
from autodepth.trial.device.device import cpu_name

RESULTS = Path(__file__).parent / "results"
LATENCY, ACCURACY = "latency_ms@onnxruntime", "validation_accuracy"
LEVELS = (0.85, 0.9, 0.93, 0.95, 0.96)


def main() -> None:
    """Search twice, and write results/searched_by_latency.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=12, help="of each search")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    given = parser.parse_args()
    fronts = {cost: front(cost, given) for cost in (LATENCY, "macs")}
    found = {
        "trials": given.trials,
        "seed": given.seed,
        "set": given.set,
        "cpu": cpu_name(),
        "onnxruntime": version("onnxruntime"),
        "fronts": fronts,
    }
    to = RESULTS / "searched_by_latency"
    to.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    to.with_suffix(".md").write_text(table(found))
    print(table(found))


def front(cost: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Search by accuracy and a cost; return the members of the front."""
    study = f"by-{cost.partition('@')[0].replace('_', '-')}-{given.seed}"
    costs = f"{{name: {cost}, reference: 100%}}"
    objectives = f"objectives=[{{name: {ACCURACY}, reference: 0}}, {costs}]"
    settings = (*given.set, objectives, "latency.onnxruntime={}")
    search(
        budget=f"{given.trials}trials", study=study, seed=given.seed, settings=settings,
        runner="in-process",
    )  # fmt: skip
    with Ledger.open(find_study(study).ledger_path, read_only=True) as ledger:
        return [
            {
                "trial": member.trial,
                "accuracy": member.point.validation_accuracy,
                "macs": member.point.macs,
                "latency_ms": round(member.point.value(LATENCY), 4),
            }
            for member in ledger.front()
        ]


def table(found: dict[str, Any]) -> str:
    """Return what came out, as Markdown."""
    told = "".join(f" --set '{each}'" for each in found["set"])
    lines = [
        "# Searched by latency and by MACs: digits",
        "",
        f"`python benchmarks/searched_by_latency.py --trials {found['trials']} --seed "
        f"{found['seed']}{told}`, onnxruntime {found['onnxruntime']}, one image, one thread of "
        f"{found['cpu']}, of which the computing time counts; the machine was shared. One seed: no "
        "spread is known. The fastest network of each front that reaches an accuracy (validation "
        "split, which the searches chose by).",
        "",
        "| accuracy | searched by latency: ms | MACs | searched by MACs: ms | MACs | faster |",
        "|---|---|---|---|---|---|",
    ]
    for level in LEVELS:
        one, other = (fastest(found["fronts"][cost], level) for cost in (LATENCY, "macs"))
        cells = [cell for member in (one, other) for cell in shown(member)]
        faster = f"{other['latency_ms'] / one['latency_ms']:.2f}x" if one and other else "-"
        lines.append(f"| {level:.0%} | {' | '.join(cells)} | {faster} |")
    return "\n".join(lines) + "\n"


def fastest(members: Sequence[dict[str, Any]], level: float) -> dict[str, Any] | None:
    """Return the fastest member of at least an accuracy."""
    able = [member for member in members if member["accuracy"] >= level]
    return min(able, key=lambda member: member["latency_ms"], default=None)


def shown(member: dict[str, Any] | None) -> tuple[str, str]:
    """Return latency and MACs for a row."""
    if member is None:
        return "-", "-"
    return f"{member['latency_ms']:.3f}", f"{member['macs'] / 1e6:.3g} M"


if __name__ == "__main__":
    main()
