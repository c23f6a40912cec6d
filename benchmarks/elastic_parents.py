"""What a parent is worth to the networks cut out of it, by how it was trained, at equal work.

Three parents each take as many multiply-accumulates: constant depth, stochastic depth, and elastic
(from the first step on: the whole network on labels, one of random depth on its scores). From each,
sets of branches go that were judged together; validation accuracy with batch statistics measured
anew, and after a short fine-tuning with the parent's soft scores.

    python benchmarks/elastic_parents.py                              # digits, ResNet-20
    python benchmarks/elastic_parents.py --data folder:CIFAR10 --epochs 12

Validation images are those that sets are judged on (256 of them) and others.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search
from autodepth.space.file.shipped import default_space
from autodepth.study.propose.predict.cost_model import CostModel
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.parent import untrained_network
from autodepth.trial.run_trial import run_trial

RESULTS = Path(__file__).parent / "results"
REMOVED = (0, 2, 4, 6)  # of the nine branches of ResNet-20
TUNED = (0, 2)
PARENTS = {"constant depth": (1.0, 0.0), "stochastic depth": (0.5, 0.0), "elastic": (0.5, 1.0)}


def parent_policy(how: str, epochs: float, cost_model: CostModel) -> Policy:
    """Return how a parent is trained in the work of so many epochs of the whole network."""
    p_last, elastic = PARENTS[how]
    train = TrainingSettings(epochs=1, batch_size=32, learning_rate=0.05, elastic=elastic)
    policy = Policy(survival_prob_last=p_last, train=train, removal="joint", distillation=0.5)
    per_epoch = cost_model.parent_work(policy)
    return replace(policy, train=replace(train, epochs=max(1, round(epochs / per_epoch))))


def measure(context: TrialContext, seed: int, epochs: int, cache: Path) -> list[dict[str, Any]]:
    """Return one row per parent, number of branches removed, and length of fine-tuning."""
    setting = replace(context, seed=seed, cache=cache)
    rows = []
    for how in PARENTS:
        cost_model = CostModel(untrained_network(setting), setting)
        parent = parent_policy(how, epochs, cost_model)
        for count in REMOVED:
            for tuned in TUNED:
                policy = replace(parent.removing(branches_removed=count), fine_tune_epochs=tuned)
                with tempfile.TemporaryDirectory() as folder:
                    result = run_trial(
                        policy, setting, folder=Path(folder), on_epoch=lambda _: None
                    )
                rows.append({
                    "seed": seed, "how": how, "epochs": parent.train.epochs, "removed": count,
                    "tuned": tuned, "macs": result.point.macs,
                    "accuracy": result.point.validation_accuracy,
                })  # fmt: skip
                print(rows[-1], flush=True)
    return rows


def table(rows: list[dict[str, Any]], told: str) -> str:
    """Return the rows as Markdown, one line per parent and length of fine-tuning."""
    heads = [f"{count} removed" if count else "whole" for count in REMOVED]
    lines = [told, "", f"| parent | epochs | fine-tuned | {' | '.join(heads)} |"]
    lines.append("|---|---|---|" + "---|" * len(REMOVED))
    for how in PARENTS:
        for tuned in TUNED:
            cells = []
            for count in REMOVED:
                key = (how, tuned, count)
                found = [
                    100 * r["accuracy"] for r in rows if (r["how"], r["tuned"], r["removed"]) == key
                ]
                spread = statistics.stdev(found) if len(found) > 1 else 0.0
                cells.append(f"{statistics.mean(found):.1f} ± {spread:.1f}")
            epochs = next(row["epochs"] for row in rows if row["how"] == how)
            lines.append(f"| {how} | {epochs} | {tuned} epochs | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, and write the table and its numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--epochs", type=int, default=16, help="of the whole network, in work")
    parser.add_argument("--train-images", type=int, default=900)
    parser.add_argument("--validation", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--commit", default="unknown")
    parser.add_argument("--to", type=Path, default=RESULTS / "elastic_parents.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    plan = plan_search(
        SearchRequest(
            space=default_space(), data=args.data, network="resnet20", budget="1trials",
            settings=[
                f"data.train_images={args.train_images}", f"data.validation={args.validation}",
            ],
        )
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as cache:
        for seed in args.seeds:
            rows += measure(plan.context, seed, args.epochs, Path(cache))
    told = (
        f"ResNet-20 on {args.data.partition(':')[0]}, {args.train_images:,} training images; each "
        f"parent in the work of {args.epochs} epochs of the whole network; validation accuracy in "
        f"percent, mean ± sd over {len(args.seeds)} seeds; one CPU thread, torch "
        f"{version('torch')}, commit {args.commit}."
    )
    args.to.write_text(table(rows, told))
    lines = [json.dumps(row) for row in rows]
    args.to.with_suffix(".jsonl").write_text("\n".join(lines) + "\n")
    print(table(rows, told))


if __name__ == "__main__":
    main()
