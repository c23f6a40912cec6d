"""What a parent is worth to the networks cut out of it, by how it was trained, at equal work.

Three parents each take as many multiply-accumulates: constant depth, stochastic depth, and elastic
(from the first step on: the whole network on labels, one of random depth on its scores). From each,
sets of branches go that were judged together; validation accuracy with batch statistics measured
anew, and after a short fine-tuning with the parent's soft scores. Each parent's front grows with
its networks, in that order; told too is the processor time until it has the hypervolume that the
poorest of the three fronts ends with.

    python benchmarks/elastic_parents.py                              # digits, ResNet-20
    python benchmarks/elastic_parents.py --data folder:CIFAR10 --epochs 12

Validation images are those that sets are judged on (256 of them) and others.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch
from kept_rows import KeptRows, Row
from search_vs_curves import Point, Step, curve, final, reached

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


def measure(context: TrialContext, about: Row, epochs: int, cache: Path, kept: KeptRows) -> None:
    """Keep one row per parent, number of branches removed, and length of fine-tuning."""
    setting = replace(context, seed=about["seed"], cache=cache)
    for how in PARENTS:
        cost_model = CostModel(untrained_network(setting), setting)
        parent, spent = parent_policy(how, epochs, cost_model), 0.0
        for tuned, count in itertools.product(TUNED, REMOVED):
            policy = replace(parent.removing(branches_removed=count), fine_tune_epochs=tuned)
            start = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                result = run_trial(policy, setting, folder=Path(folder), on_epoch=lambda _: None)
            spent += time.process_time() - start
            kept.add({
                **about, "how": how, "epochs": parent.train.epochs, "removed": count,
                "tuned": tuned, "macs": result.point.macs, "spent": spent,
                "accuracy": result.point.validation_accuracy,
            })  # fmt: skip


def table(rows: list[Row], told: str) -> str:
    """Return the rows as Markdown: accuracies, then hypervolumes and times."""
    heads = [f"{count} removed" if count else "whole" for count in REMOVED]
    lines = [told, "", f"| parent | epochs | fine-tuned | {' | '.join(heads)} |"]
    lines.append("|---|---|---|" + "---|" * len(REMOVED))
    for how in PARENTS:
        for tuned in TUNED:
            cells = []
            for count in REMOVED:
                key = (how, tuned, count)
                found = [r for r in rows if (r["how"], r["tuned"], r["removed"]) == key]
                cells.append(spread([100 * r["accuracy"] for r in found], 1))
            epochs = next(row["epochs"] for row in rows if row["how"] == how)
            lines.append(f"| {how} | {epochs} | {tuned} epochs | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *times(rows), ""])


def times(rows: list[Row]) -> list[str]:
    """Return lines of Markdown: hypervolumes of the fronts, and times to the poorest one's."""
    lines = [
        "| parent | processor s for it | hypervolume, nothing fine-tuned | at the end "
        "| s to the poorest end | in units of stochastic depth's |",
        "|---|---|---|---|---|---|",
    ]
    seeds = sorted({row["seed"] for row in rows})
    curves = {(how, seed): curve_of(rows, how, seed) for how in PARENTS for seed in seeds}
    took = {}
    for seed in seeds:
        poorest = min(final(curves[how, seed]) for how in PARENTS)
        took |= {(how, seed): reached(curves[how, seed], poorest) for how in PARENTS}
    for how in PARENTS:
        of = [curves[how, seed] for seed in seeds]
        ratios = [took[how, seed] / took["stochastic depth", seed] for seed in seeds]
        cells = (
            spread([steps[0].ended for steps in of], 0),
            spread([steps[len(REMOVED) - 1].hypervolume for steps in of], 3),
            spread([final(steps) for steps in of], 3),
            spread([took[how, seed] for seed in seeds], 0),
            spread(ratios, 2),
        )
        lines.append(f"| {how} | " + " | ".join(cells) + " |")
    return lines


def curve_of(rows: list[Row], how: str, seed: int) -> list[Step]:
    """Return how the front of one parent grows, on validation images."""
    own = [row for row in rows if (row["how"], row["seed"]) == (how, seed)]
    points = [
        Point(ended=r["spent"], validation=r["accuracy"], macs=r["macs"], test=r["accuracy"])
        for r in own
    ]
    return curve(points, max(row["macs"] for row in own))


def spread(values: list[float], digits: int) -> str:
    """Return mean and standard deviation, of one value itself."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


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
    kept = KeptRows(args.to.with_suffix(".jsonl"), ("seed", "how", "removed", "tuned"))
    with tempfile.TemporaryDirectory() as cache:
        for seed in args.seeds:
            if len(kept.find(seed=seed)) < len(PARENTS) * len(REMOVED) * len(TUNED):
                about = {"seed": seed, "commit": args.commit}
                measure(plan.context, about, args.epochs, Path(cache), kept)
    seeds = {row["seed"] for row in kept.rows}
    told = (
        f"ResNet-20 on {args.data.partition(':')[0]}, {args.train_images:,} training images; each "
        f"parent in the work of {args.epochs} epochs of the whole network; validation accuracy in "
        f"percent, mean ± sd over {len(seeds)} seeds; one CPU thread, torch "
        f"{version('torch')}, commit {args.commit}."
    )
    args.to.write_text(table(kept.rows, told))
    print(table(kept.rows, told))


if __name__ == "__main__":
    main()
