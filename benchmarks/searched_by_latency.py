"""Latency as an objective beside MACs: what does a search for the one buy that the other does not?

Two searches of the same space, seed and budget, side by side, one by accuracy and the latency in
onnxruntime, one by accuracy and MACs. Then all members of both fronts are measured by turns in one
process, and for each accuracy that both reach the fastest network of each is compared.

    python benchmarks/searched_by_latency.py                                  # digits, 10 minutes
    python benchmarks/searched_by_latency.py --data folder:DIR --network resnet20 --budget 1cpu-h
    python benchmarks/searched_by_latency.py --budget 14trials --set network.channel_multiple=8
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from autodepth import load
from autodepth.export.exporting import export_selected
from autodepth.networks.catalogue import NetworkSpec
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.search.search import search
from autodepth.space.sections.latency_section import LatencySection
from autodepth.trial.device.device import cpu_name
from autodepth.trial.device.runtimes.runners import open_runner

RESULTS = Path(__file__).parent / "results"
LATENCY, ACCURACY = "latency_ms@onnxruntime", "validation_accuracy"
COSTS = (LATENCY, "macs")
LEVELS = {"digits": (0.85, 0.9, 0.93, 0.95, 0.96), "folder": (0.3, 0.35, 0.4, 0.45, 0.5)}
Member = dict[str, Any]
Fronts = dict[str, list[Member]]


def main() -> None:
    """Search by both costs, measure, and write results/searched_by_latency_DATA[_SET].{json,md}."""
    given = _arguments().parse_args()
    if given.only:
        one_search(given.only, given.seeds[0], given)
        return
    found = {
        "command": " ".join(sys.argv[1:]),
        "data": given.data.partition(":")[0],
        "cpu": cpu_name(),
        "versions": {name: version(name) for name in ("onnxruntime", "torch")},
        "seeds": {seed: both_fronts(seed, given) for seed in given.seeds},
    }
    settings = (re.sub(r"\W+", "_", each.rpartition(".")[2]) for each in given.set)
    to = RESULTS / "_".join(("searched_by_latency", found["data"], *settings))
    to.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    to.with_suffix(".md").write_text(table(found))
    print(table(found))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--network")
    parser.add_argument("--budget", default="2cpu-min", help="of each search")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    parser.add_argument("--only", choices=COSTS, help="one search alone, for this script itself")
    return parser


def both_fronts(seed: int, given: argparse.Namespace) -> Fronts:
    """Search by both costs at the same time; return both fronts with latencies by turns."""
    told = [f"--data={given.data}", f"--budget={given.budget}", f"--seeds={seed}"]
    told += [f"--network={given.network}"] * bool(given.network)
    told += [f"--set={each}" for each in given.set]
    started = [
        subprocess.Popen([sys.executable, __file__, *told, f"--only={cost}"]) for cost in COSTS
    ]
    ended = [search.wait() for search in started]
    if any(ended):
        sys.exit("a search failed")
    return measured({cost: _study(cost, seed) for cost in COSTS})


def one_search(cost: str, seed: int, given: argparse.Namespace) -> None:
    """Search by accuracy and a cost."""
    costs = f"{{name: {cost}, reference: 100%}}"
    objectives = f"objectives=[{{name: {ACCURACY}, reference: 0}}, {costs}]"
    search(
        budget=given.budget, study=_study(cost, seed), seed=seed, data=given.data,
        network=given.network, settings=(*given.set, objectives), runner="in-process",
    )  # fmt: skip


def _study(cost: str, seed: int) -> str:
    return f"by-{cost.partition('@')[0].replace('_', '-')}-{seed}"


def measured(studies: dict[str, str]) -> Fronts:
    """Return the members of studies by cost, with the latency of each, all by turns."""
    fronts: Fronts = {cost: [] for cost in studies}
    networks = []
    runner = open_runner(LatencySection.model_validate({"on": "onnxruntime", "limit": "5min"}))
    for cost, study in studies.items():
        folder = find_study(study)
        shape = NetworkSpec.from_dict(folder.plan["network"]).input_shape
        with Ledger.open(folder.ledger_path, read_only=True) as ledger:
            members, trials = ledger.front(), len(ledger.trials())
        for member in members:
            with tempfile.TemporaryDirectory() as scratch:
                to = Path(scratch, "export")
                export_selected(folder, f"trial:{member.trial}", to, formats=())
                module = load(to)
                networks.append(runner.prepare(module, shape))
            fronts[cost].append(
                {
                    "trial": member.trial,
                    "trials": trials,
                    "accuracy": member.point.validation_accuracy,
                    "macs": member.point.macs,
                }
            )
    times = iter(runner.measure(networks, 1.0))
    runner.close()
    for member in (member for front in fronts.values() for member in front):
        member["latency_ms"] = round(next(times).ms, 4)
    return fronts


def table(found: dict[str, Any]) -> str:
    """Return what came out, as Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    lines = [
        f"# Searched by latency and by MACs: {found['data']}",
        "",
        f"`python benchmarks/searched_by_latency.py {found['command']}`, {versions}; one image, "
        f"one thread of {found['cpu']}, of which the computing time counts; all members of both "
        "fronts by turns in one process. The searches ran side by side on a core that other work "
        "shared. The fastest network of each front that reaches an accuracy (validation split, "
        "which the searches chose by).",
        "",
        "| seed | accuracy | by latency: ms | MACs | by MACs: ms | MACs | faster |",
        "|---|---|---|---|---|---|---|",
    ]
    ratios = []
    for seed, fronts in found["seeds"].items():
        for level in LEVELS[found["data"]]:
            one, other = (fastest(fronts[cost], level) for cost in COSTS)
            cells = [cell for member in (one, other) for cell in shown(member)]
            ratios += [other["latency_ms"] / one["latency_ms"]] if one and other else []
            faster = f"{ratios[-1]:.2f}x" if one and other else "-"
            lines.append(f"| {seed} | {level:.0%} | {' | '.join(cells)} | {faster} |")
    trials = [
        f"{front[0]['trials']} (seed {seed}, by {cost})"
        for seed, fronts in found["seeds"].items()
        for cost, front in fronts.items()
        if front
    ]
    middle = f"Median {statistics.median(ratios):.2f}x. " if ratios else ""
    return "\n".join([*lines, "", f"{middle}Trials: {', '.join(trials)}."]) + "\n"


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
