"""Which branches of a trained ResNet-56 go together, and what is left before any fine-tuning.

For 8 and 18 of 27 branches, several draws of images: chosen by the loss without each branch alone,
as the whole network's batch statistics have it and with those measured anew; one after the other
(greedy); as a set that is judged together (joint), and the same with the last layers of what is
left fitted to the whole network's features (reconstructed); and at random. Every network but the
first has its statistics measured anew. Test accuracy and KL divergence from the whole network on
test images that nothing was chosen by. What is judged are training images: 250 for each draw.

    python benchmarks/masks_judged.py --data folder:CIFAR10 --weights resnet56.th
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.gates.masked_runs import WHOLE, outputs_without
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search
from autodepth.space.file.shipped import default_space
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.branches.joint import judge_masks
from autodepth.trial.phases.branches.judging import Judge
from autodepth.trial.phases.parent import train_parent
from autodepth.trial.phases.pruning import Means, prune, removal_from
from autodepth.trial.phases.recovery import fit_features, recalibrate_batch_norm

RESULTS = Path(__file__).parent / "results"
Rows = list[dict[str, Any]]
Measure = Callable[[TrialContext, Sequence[int], int], Rows]
Table = Callable[[Rows, dict[str, Any]], str]
COUNTS = (8, 18)
JUDGED, RECALIBRATED, RANDOM_DRAWS = 250, 10, 4
HOWS = (
    "single, statistics as they were", "single", "greedy", "joint", "joint, reconstructed",
    "random",
)  # fmt: skip


class Chooser:
    """Chooses branches of one network on one draw of images, and tests what is left."""

    def __init__(self, context: TrialContext, parent: ResidualNetwork, test_images: int) -> None:
        self.context, self.parent = context, parent
        self.policy = Policy(train=TrainingSettings(epochs=0), removal="joint", branches_removed=1)
        some = torch.randperm(len(context.data.train), generator=context.generator("judged"))
        judged = context.data.train.subset(some[:JUDGED].numpy())
        # The trial judges on validation images; these weights were trained on all but the test's.
        self.context = replace(
            context, data=replace(context.data, validation=judged), sensitivity_images=None
        )
        self._judge = Judge(parent, self.context.scoring_batches())
        test = context.data.open_test()
        index = np.linspace(0, len(test) - 1, min(test_images, len(test))).round()
        self._test = context.task.images.batches(test.subset(index.astype(np.int64)), 256)
        self.branches = [b.index for b, _ in parent.kept() if b.removable]

    def single(self) -> dict[int, float]:
        """Return the loss gained without each branch, statistics measured anew."""
        found = self._judge([*({b} for b in self.branches), WHOLE])
        return {b: found[frozenset({b})].loss - found[WHOLE].loss for b in self.branches}

    def single_as_they_were(self) -> dict[int, float]:
        """Return the same with the statistics of the whole network."""
        gated = GatedNetwork(self.parent)
        gated.eval()
        gated.open_all()
        losses = dict.fromkeys([frozenset({b}) for b in self.branches], 0.0)
        for images, labels in self.context.scoring_batches():
            for mask, scores in outputs_without(gated, images, losses):
                losses[mask] += F.cross_entropy(scores, labels, reduction="sum").item()
        return {b: losses[frozenset({b})] / JUDGED for b in self.branches}

    def by(self, scores: dict[int, float], count: int) -> tuple[int, ...]:
        """Return the weakest branches that may go."""
        policy = replace(self.policy, removal="one_shot").removing(branches_removed=count)
        return removal_from(self.parent, policy).step(scores, ())

    def greedy(self) -> tuple[int, ...]:
        """Return the branches in the order in which they go, scored anew after each."""
        policy = replace(self.policy, removal="greedy", criterion="ablation_loss")

        def score(network: ResidualNetwork) -> dict[int, float]:
            gone = set(network.removed)
            masks = {b: gone | {b} for b in self.branches if b not in gone}
            found = self._judge([*masks.values()])
            return {b: found[frozenset(mask)].loss for b, mask in masks.items()}

        means = Means(
            score=score, judge_masks=lambda _: {}, choose_widths=dict, recalibrate=lambda _: None,
            fine_tune_between=lambda _: None, reconstruct=lambda _: 0,
        )  # fmt: skip
        wish = policy.removing(branches_removed=max(COUNTS))
        return prune(self.parent, wish, self.single(), means).order

    def tested(self, removed: Collection[int], how: str) -> dict[str, float]:
        """Return accuracy and divergence on test images of what is left."""
        network = self.parent.without(removed)
        if how == HOWS[0]:
            network.module.eval()
        elif "reconstructed" in how:
            fit_features(self.parent, network, self.policy, self.context)
        else:
            batches = self.context.training_batches(128, "recalibration")
            recalibrate_batch_norm(network, batches, RECALIBRATED)
        return self.tested_network(network)

    def tested_network(self, network: ResidualNetwork) -> dict[str, float]:
        """Return accuracy of a network and its divergence from the parent on test images."""
        network.module.eval()
        right = far = seen = 0.0
        with torch.inference_mode():
            for images, labels in self._test:
                scores, whole = (n.module(images).log_softmax(1) for n in (network, self.parent))
                right += (scores.argmax(1) == labels).sum().item()
                far += F.kl_div(scores, whole, log_target=True, reduction="sum").item()
                seen += len(labels)
        return {"accuracy": right / seen, "divergence": far / seen}


def chosen(chooser: Chooser, draws: random.Random) -> tuple[dict[str, Any], dict[str, float]]:
    """Return which branches go, by how they are chosen, for each count; and the seconds it took."""
    seconds, start = {}, time.perf_counter()
    singles = {HOWS[0]: chooser.single_as_they_were(), HOWS[1]: chooser.single()}
    masks: dict[str, Any] = {
        how: {n: [chooser.by(scores, n)] for n in COUNTS} for how, scores in singles.items()
    }
    start = time.perf_counter()
    order = chooser.greedy()
    masks["greedy"] = {n: [order[:n]] for n in COUNTS}
    seconds["greedy"] = time.perf_counter() - start
    start = time.perf_counter()
    removal = removal_from(chooser.parent, chooser.policy)
    judged = judge_masks(chooser.context, chooser.parent, removal)
    seconds["joint"], seconds["sets judged"] = time.perf_counter() - start, len(judged)
    for how in ("joint", "joint, reconstructed"):
        masks[how] = {
            n: [
                min(
                    (m for m in judged if len(m) == n and removal.allows(m)), key=judged.__getitem__
                )
            ]
            for n in COUNTS
        }
    masks["random"] = {
        n: [_drawn(chooser, n, removal.allows, draws) for _ in range(RANDOM_DRAWS)] for n in COUNTS
    }
    return masks, seconds


def _drawn(chooser: Chooser, count: int, allows: Any, draws: random.Random) -> list[int]:
    while not allows(mask := draws.sample(chooser.branches, count)):
        pass
    return mask


def measure(context: TrialContext, seeds: Sequence[int], test_images: int) -> list[dict[str, Any]]:
    """Return one row per draw of images, count and way to choose."""
    rows = []
    for seed in seeds:
        setting = replace(context, seed=seed)
        parent = train_parent(Policy(train=TrainingSettings(epochs=0)), setting, print).network
        chooser = Chooser(setting, parent, test_images)
        masks, seconds = chosen(chooser, random.Random(seed))
        for count in COUNTS:
            for how in HOWS:
                start = time.perf_counter()
                told = [chooser.tested(mask, how) for mask in masks[how][count]]
                rows.append({
                    "seed": seed, "count": count, "how": how,
                    "removed": [sorted(mask) for mask in masks[how][count]],
                    **{n: statistics.mean(t[n] for t in told) for n in told[0]},
                    "seconds_to_choose": seconds.get(how.split(",")[0]),
                    "seconds_to_test": (time.perf_counter() - start) / len(told),
                })  # fmt: skip
                print(rows[-1], flush=True)
        whole = chooser.tested((), HOWS[0])
        sets = seconds["sets judged"]
        rows.append({"seed": seed, "count": 0, "how": "whole", "sets judged": sets, **whole})
    return rows


def table(rows: list[dict[str, Any]], told: dict[str, Any]) -> str:
    """Return the rows as Markdown."""
    whole = [row["accuracy"] for row in rows if row["how"] == "whole"]
    lines = [
        "ResNet-56 with public CIFAR-10 weights on CIFAR-10 JPEG, no fine-tuning; test accuracy in "
        f"percent (whole network {100 * statistics.mean(whole):.1f}) and KL divergence from the "
        f"whole network in nats on {told['test_images']:,} test images, mean ± sd over "
        f"{len(told['seeds'])} draws of {JUDGED} judged training images; statistics measured anew "
        f"on {RECALIBRATED} batches of 128 where not said otherwise; one CPU thread, torch "
        f"{told['torch']}, commit {told['commit']}.",
        "",
        "| chosen by | 8 branches out | KL | 18 branches out | KL |",
        "|---|---|---|---|---|",
    ]
    for how in HOWS:
        cells = []
        for count in COUNTS:
            found = [row for row in rows if (row["count"], row["how"]) == (count, how)]
            for name, times, digits in (("accuracy", 100, 1), ("divergence", 1, 2)):
                values = [times * row[name] for row in found]
                spread = statistics.stdev(values) if len(values) > 1 else 0.0
                cells.append(f"{statistics.mean(values):.{digits}f} ± {spread:.{digits}f}")
        lines.append(f"| {how} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def judge_trained(
    about: str | None, measure: Measure, table: Table, *, to: str, seeds: Sequence[int]
) -> None:
    """Measure a trained ResNet-56 as the command line says, and write the table and its numbers.

    Args:
        about: what the benchmark is, for --help.
        measure: gives a row for each draw of images and way to choose.
        table: makes Markdown of rows and conditions.
        to: name of the page among the results.
        seeds: of the draws, where none are named.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--train-images", type=int, default=5000)
    parser.add_argument("--test-images", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=seeds)
    parser.add_argument("--commit", default="unknown")
    parser.add_argument("--to", type=Path, default=RESULTS / to)
    args = parser.parse_args()
    torch.set_num_threads(1)
    plan = plan_search(
        SearchRequest(
            space=default_space(), data=args.data, network="resnet56",
            weights=args.weights, budget="1trials",
            settings=[f"data.train_images={args.train_images}"],
        )
    )  # fmt: skip
    rows = measure(plan.context, args.seeds, args.test_images)
    told = {
        "test_images": args.test_images, "seeds": args.seeds, "commit": args.commit,
        "torch": version("torch"),
    }  # fmt: skip
    args.to.write_text(table(rows, told))
    lines = [json.dumps(row) for row in rows]
    args.to.with_suffix(".jsonl").write_text("\n".join(lines) + "\n")
    print(table(rows, told))


def main() -> None:
    """Judge sets of branches."""
    judge_trained(__doc__, measure, table, to="masks_judged.md", seeds=(0, 1, 2, 3, 4))


if __name__ == "__main__":
    main()
