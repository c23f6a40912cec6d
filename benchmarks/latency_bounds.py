"""Are bounds on latency kept that `front --solve` answers? Solved, then measured.

What branches add is measured first, as for a study without a table. Then ten bounds are solved for,
with branches that go or become narrower: by the table alone, and as `front --solve` does, which
measures each network and solves again. All answers are then measured once more, by turns with the
whole network. What branches lose is drawn at random, or known from a study that has ended. One CPU
thread, on which the time that this thread computed counts. A few minutes:

    python benchmarks/latency_bounds.py --networks resnet20 --studies NAME
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.layout import for_convolutions
from autodepth.policy.policy import Policy
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.solving.answer import Answer, read_bounds
from autodepth.service.solving.evidence import Evidence, read_evidence
from autodepth.service.solving.solve import Solver
from autodepth.service.solving.template import Template
from autodepth.trial.device.device import device_name
from autodepth.trial.device.latency import latencies_ms

RESULTS = Path(__file__).parent / "results"
NETWORKS = ("resnet20", "resnet56")
SHARES = (95, 90, 85, 80, 75, 70, 65, 60, 55, 50)
WIDTHS = (0.75, 0.5, 0.25)
MARGIN = 10.0  # percent


def solver_of(spec: NetworkSpec, whole: ResidualNetwork, *, narrower: bool, seed: int) -> Solver:
    """Return a solver that knows what branches lose, drawn at random."""
    draws = random.Random(seed)
    worth = {b.index: draws.random() for b in whole.branches if b.removable}
    lost = {b: {w: much * (1 - w) ** 2 for w in WIDTHS} for b, much in worth.items()}
    template: Any = SimpleNamespace(parent_accuracy=0.9)
    macs, parameters = float(whole.total_macs), float(whole.total_parameters)
    plan = {
        "network": spec.to_dict(), "device": "cpu", "threads": 1,
        "unpruned": {"macs": macs, "parameters": parameters},
    }  # fmt: skip
    evidence = Evidence(
        plan=plan, front=(), known=(), quality=float,
        templates=[Template(
            number=0, policy=Policy(branches_removed=1), result=template, worth=worth,
            narrower=lost if narrower else {},
        )],
    )  # fmt: skip
    return Solver(evidence)


def solver_of_study(name: str) -> tuple[Solver, NetworkSpec]:
    """Return a solver of a study that has ended, and the study's network."""
    with Ledger.open(find_study(name).ledger_path, read_only=True) as ledger:
        evidence = read_evidence(ledger)
    return Solver(evidence), NetworkSpec.from_dict(evidence.plan["network"])


def cut(whole: ResidualNetwork, answer: Answer) -> ResidualNetwork:
    """Return the network that an answer's policy comes to, laid out as trials leave it."""
    smaller = whole.without(answer.policy.branches or ())
    smaller = prune_width(smaller, answer.policy.channels_gone(b.index for b in whole.branches))
    for_convolutions(smaller.module.eval())
    return smaller


def solved_and_measured(
    solver: Solver, whole: ResidualNetwork, about: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return one row per bound, with what it is about."""
    for_convolutions(whole.module.eval())
    solver.answer(read_bounds("latency_ms<=100%"), measure=False)  # measures the table
    rows, modules = [], []
    for by in ("the table", "measuring"):
        for share in SHARES:
            bounds, began = read_bounds(f"latency_ms<={share}%"), time.thread_time()
            answer = solver.answer(bounds, measure=by == "measuring")
            rows.append({
                **about, "share": share, "by": by, "tries": answer.tries,
                "seconds": round(time.thread_time() - began, 2),
                "predicted": answer.costs["latency_ms"] / solver.unpruned["latency_ms"],
                "told": told / solver.unpruned["latency_ms"]
                if (told := answer.times.get("latency_ms")) else None,
                "macs": answer.costs["macs"] / solver.unpruned["macs"],
                "removed": len(answer.policy.branches or ()), "widths": len(answer.policy.widths),
            })  # fmt: skip
            modules.append(cut(whole, answer).module)
    beside, *times = latencies_ms([whole.module, *modules], whole.input_shape)
    for row, own in zip(rows, times, strict=True):
        row["measured"] = own / beside
        print(row, flush=True)
    return rows


def measure(name: str, seed: int) -> list[dict[str, Any]]:
    """Return the rows of a network, with branches that go and with those that become narrower."""
    spec = NetworkSpec(name=name, height=32, width=32)
    whole, rows = build_network(spec), []
    for narrower in (False, True):
        solver = solver_of(spec, whole, narrower=narrower, seed=seed)
        about = {"network": name, "seed": seed, "narrower": narrower}
        rows += solved_and_measured(solver, whole, about)
    return rows


def measure_study(name: str) -> list[dict[str, Any]]:
    """Return the rows of a study."""
    solver, spec = solver_of_study(name)
    about = {"network": f"{spec.name}, a study's", "narrower": bool(solver.widths)}
    return solved_and_measured(solver, build_network(spec), about)


def table(rows: list[dict[str, Any]], conditions: str) -> str:
    """Return what came of the bounds as Markdown."""
    lines = [
        "# Bounds on latency, solved and then measured", "", conditions, "",
        f"| network | branches | answered by | kept within {MARGIN:g} % | over the bound, median | "
        "most | prediction off by, median | networks measured, mean | CPU seconds each |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, narrower, by in dict.fromkeys((r["network"], r["narrower"], r["by"]) for r in rows):
        found = [r for r in rows if (r["network"], r["narrower"], r["by"]) == (name, narrower, by)]
        over = [100 * r["measured"] / (r["share"] / 100) - 100 for r in found]
        off = [abs(100 * r["measured"] / r["predicted"] - 100) for r in found]
        kept = sum(much <= MARGIN for much in over)
        ways = "go or become narrower" if narrower else "go"
        lines.append(
            f"| {name} | {ways} | {by} | {kept} of {len(found)} | "
            f"{statistics.median(over):+.1f}% | {max(over):+.1f}% | "
            f"{statistics.median(off):.1f}% | "
            f"{statistics.mean(r['tries'] for r in found):.1f} | "
            f"{statistics.mean(r['seconds'] for r in found):.1f} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, and write results/latency_bounds.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=NETWORKS)
    parser.add_argument("--studies", nargs="*", default=(), metavar="NAME")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of what is lost")
    parser.add_argument("--to", type=Path, default=RESULTS / "latency_bounds.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    rows = [row for name in args.networks for seed in args.seeds for row in measure(name, seed)]
    rows += [row for name in args.studies for row in measure_study(name)]
    device, seconds = device_name(torch.device("cpu")), time.monotonic() - began
    conditions = (
        f"{len(SHARES)} bounds each of {len(args.seeds)} draws of what branches lose, from "
        f"{SHARES[0]} to {SHARES[-1]} % of the whole network's latency, one image (of 32 pixels "
        f"where no study has others), one thread of {device}, PyTorch {version('torch')}; the time "
        f"that the thread computed counts. The process had its core for {time.process_time():.0f} "
        f"of {seconds:.0f} s."
    )
    args.to.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
    args.to.write_text(table(rows, conditions))
    print(table(rows, conditions))


if __name__ == "__main__":
    main()
