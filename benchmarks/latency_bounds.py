"""Are bounds on latency kept that `front --solve` answers? Solved, then measured.

The table of branches is measured first, as for a study without one. Then ten bounds are solved for,
with branches that go or become narrower (what they lose is drawn at random), and each network is
built and measured by turns with the whole one. One CPU thread, on which the time that this thread
computed counts. A few minutes:

    python benchmarks/latency_bounds.py
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.policy import Policy
from autodepth.service.solving.evidence import Evidence
from autodepth.service.solving.solve import Answer, Solver, read_bounds
from autodepth.service.solving.template import Template
from autodepth.trial.device.device import device_name
from autodepth.trial.device.latency import latencies_ms, measure_table
from autodepth.trial.device.latency_table import LatencyTable

RESULTS = Path(__file__).parent / "results"
NETWORKS = ("resnet20", "resnet56")
SHARES = (95, 90, 85, 80, 75, 70, 65, 60, 55, 50)
WIDTHS = (0.75, 0.5, 0.25)


def solver_of(
    spec: NetworkSpec, whole: ResidualNetwork, latencies: LatencyTable, *, narrower: bool, seed: int
) -> Solver:
    """Return a solver that knows what branches lose, drawn at random, and measured latencies."""
    draws = random.Random(seed)
    worth = {b.index: draws.random() for b in whole.branches if b.removable}
    lost = {b: {w: much * (1 - w) ** 2 for w in WIDTHS} for b, much in worth.items()}
    template: Any = SimpleNamespace(parent_accuracy=0.9)
    plan = {
        "network": spec.to_dict(), "threads": 1, "latency_table": latencies.to_dict(),
        "unpruned": {
            "macs": float(whole.total_macs), "parameters": float(whole.total_parameters),
            "latency_ms": latencies.whole_ms,
        },
    }  # fmt: skip
    evidence = Evidence(
        plan=plan, front=(), known=(), quality=float,
        templates=[Template(
            number=0, policy=Policy(branches_removed=1), result=template, worth=worth,
            narrower=lost if narrower else {},
        )],
    )  # fmt: skip
    return Solver(evidence)


def cut(whole: ResidualNetwork, answer: Answer) -> ResidualNetwork:
    """Return the network that an answer's policy comes to."""
    smaller = whole.without(answer.policy.branches or ())
    return prune_width(smaller, answer.policy.channels_gone(b.index for b in whole.branches))


def measure(name: str, seed: int) -> list[dict[str, Any]]:
    """Return one row per bound."""
    spec = NetworkSpec(name=name, height=32, width=32)
    whole = build_network(spec)
    rows = []
    for narrower in (False, True):
        latencies = measure_table(whole, torch.device("cpu"), threads=1)
        solver = solver_of(spec, whole, latencies, narrower=narrower, seed=seed)
        whole.module.eval().to(memory_format=torch.channels_last)
        answers = [solver.answer(read_bounds(f"latency_ms<={share}%")) for share in SHARES]
        modules = [cut(whole, answer).module.eval() for answer in answers]
        beside, *times = latencies_ms([whole.module, *modules], whole.input_shape)
        for share, answer, own in zip(SHARES, answers, times, strict=True):
            rows.append({
                "network": name, "narrower": narrower, "share": share,
                "predicted": answer.costs["latency_ms"] / latencies.whole_ms,
                "measured": own / beside,
                "removed": len(answer.policy.branches or ()), "widths": len(answer.policy.widths),
            })  # fmt: skip
            print(rows[-1], flush=True)
    return rows


def table(rows: list[dict[str, Any]], conditions: str) -> str:
    """Return what came of the bounds as Markdown."""
    lines = [
        "# Bounds on latency, solved and then measured", "", conditions, "",
        "| network | branches | over the bound, median | most | prediction off by, median |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for name in dict.fromkeys(row["network"] for row in rows):
        for narrower in (False, True):
            found = [r for r in rows if (r["network"], r["narrower"]) == (name, narrower)]
            over = [100 * r["measured"] / (r["share"] / 100) - 100 for r in found]
            off = [abs(100 * r["measured"] / r["predicted"] - 100) for r in found]
            ways = "go or become narrower" if narrower else "go"
            lines.append(
                f"| {name} | {ways} | {statistics.median(over):+.1f}% | {max(over):+.1f}% | "
                f"{statistics.median(off):.1f}% |"
            )
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, and write results/latency_bounds.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, default=RESULTS / "latency_bounds.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for name in args.networks for row in measure(name, args.seed)]
    conditions = (
        f"{len(SHARES)} bounds each, from {SHARES[0]} to {SHARES[-1]} % of the whole network's "
        f"latency, one image of 32 pixels, one thread of {device_name(torch.device('cpu'))}, "
        f"PyTorch {version('torch')}; the time that the thread computed counts."
    )
    args.to.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
    args.to.write_text(table(rows, conditions))
    print(table(rows, conditions))


if __name__ == "__main__":
    main()
