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
from kept_rows import KeptRows

from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.gates.masked_runs import WHOLE, outputs_without
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.choosing.mask_search import closest
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
Told = dict[str, Any]
Measure = Callable[[TrialContext, Told, KeptRows], None]
Table = Callable[[Rows, Told], str]
COUNTS = (8, 18)
JUDGED, RECALIBRATED, RANDOM_DRAWS = 250, 10, 4
EPOCH_IMAGES, WARM_STEPS, TIMED_STEPS, BATCH = 4500, 1, 8, 128
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
        self._whole: list[torch.Tensor] = []  # logarithms of what the parent tells of them
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
            score=score, choose=dict, recalibrate=lambda _: None,
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
            if not self._whole:
                self.parent.module.eval()
                self._whole = [self.parent.module(x).log_softmax(1) for x, _ in self._test]
            for (images, labels), whole in zip(self._test, self._whole, strict=True):
                scores = network.module(images).log_softmax(1)
                right += (scores.argmax(1) == labels).sum().item()
                far += F.kl_div(scores, whole, log_target=True, reduction="sum").item()
                seen += len(labels)
        return {"accuracy": right / seen, "divergence": far / seen}


class Choices:
    """What goes by each way to choose, on one draw of images; each is worked out when asked for.

    Args:
        chooser: of one network on one draw.
        kept: rows of this draw, whose sets are taken as they are.
    """

    def __init__(self, chooser: Chooser, kept: KeptRows, seed: int) -> None:
        self._chooser, self._kept, self._draws = chooser, kept, random.Random(seed)
        self._seed = seed
        self._removal = removal_from(chooser.parent, chooser.policy)

    def by(self, how: str) -> tuple[dict[int, list[Sequence[int]]], dict[str, float]]:
        """Return sets for each count, and what choosing took."""
        start = time.process_time()
        if how == HOWS[0]:
            scores = self._chooser.single_as_they_were()
            sets = {n: [self._chooser.by(scores, n)] for n in COUNTS}
        elif how == "single":
            scores = self._chooser.single()
            sets = {n: [self._chooser.by(scores, n)] for n in COUNTS}
        elif how == "greedy":
            order = self._chooser.greedy()
            sets = {n: [order[:n]] for n in COUNTS}
        elif how == "joint":
            return self._joint()
        elif how == "random":
            sets = {n: [self._drawn(n) for _ in range(RANDOM_DRAWS)] for n in COUNTS}
        else:
            rows = self._kept.find(seed=self._seed, how=how.split(",", maxsplit=1)[0])
            return {row["count"]: row["removed"] for row in rows}, {}
        return sets, {"cpu_seconds_to_choose": time.process_time() - start}

    def _joint(self) -> tuple[dict[int, list[Sequence[int]]], dict[str, float]]:
        chooser, start = self._chooser, time.process_time()
        judged = judge_masks(chooser.context, chooser.parent, self._removal)
        took = time.process_time() - start
        allowed = {mask: far for mask, far in judged.items() if self._removal.allows(mask)}
        epochs = took / epoch_seconds(chooser.context, chooser.parent)
        told = {"cpu_seconds_to_choose": took, "epochs_to_choose": epochs, "sets": len(judged)}
        return {n: [sorted(closest(allowed, _of_count(n)))] for n in COUNTS}, told

    def _drawn(self, count: int) -> list[int]:
        while not self._removal.allows(mask := self._draws.sample(self._chooser.branches, count)):
            pass
        return mask


def _of_count(count: int) -> Callable[[frozenset[int]], bool]:
    return lambda mask: len(mask) == count


def epoch_seconds(context: TrialContext, parent: ResidualNetwork) -> float:
    """Return the processor time of an epoch of the whole network, from a few steps of it."""
    network = parent.without(())
    network.module.train()
    batches = iter(context.training_batches(BATCH, "timing"))
    seconds = []
    for _ in range(WARM_STEPS + TIMED_STEPS):
        images, labels = next(batches)
        start = time.process_time()
        F.cross_entropy(network.module(images), labels).backward()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds[WARM_STEPS:]) * EPOCH_IMAGES / BATCH


def measure(context: TrialContext, told: Told, kept: KeptRows) -> None:
    """Keep one row per draw of images, count and way to choose."""
    for seed in told["seeds"]:
        wanted = [how for how in HOWS if how in (told["ways"] or HOWS)]
        missing = [how for how in wanted if len(kept.find(seed=seed, how=how)) < len(COUNTS)]
        if not missing:
            continue
        setting = replace(context, seed=seed)
        parent = train_parent(Policy(train=TrainingSettings(epochs=0)), setting, print).network
        chooser = Chooser(setting, parent, told["test_images"])
        choices = Choices(chooser, kept, seed)
        about = {"seed": seed, "commit": told["commit"]}
        for how in missing:
            sets, took = choices.by(how)
            for count in COUNTS:
                found = [chooser.tested(mask, how) for mask in sets[count]]
                means = {n: statistics.mean(t[n] for t in found) for n in found[0]}
                removed = [sorted(mask) for mask in sets[count]]
                kept.add({**about, "count": count, "how": how, "removed": removed, **means, **took})
        if not kept.find(seed=seed, how="whole"):
            kept.add({**about, "count": 0, "how": "whole", **chooser.tested((), HOWS[0])})


def table(rows: Rows, told: Told) -> str:
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
    for how in (h for h in HOWS if any(row["how"] == h for row in rows)):
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
    about: str | None, measure: Measure, table: Table, *, to: str, seeds: Sequence[int],
    keys: Sequence[str],
) -> None:  # fmt: skip
    """Measure a trained ResNet-56 as the command line says, and write the table and its numbers.

    Rows that an earlier run has kept are not measured again.

    Args:
        about: what the benchmark is, for --help.
        measure: keeps a row for each draw of images and way to choose.
        table: makes Markdown of rows and conditions.
        to: name of the page among the results.
        seeds: of the draws, where none are named.
        keys: what tells a row from others.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--train-images", type=int, default=5000)
    parser.add_argument("--test-images", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=seeds)
    parser.add_argument("--ways", nargs="+", metavar="WAY", help="only these ways to choose")
    parser.add_argument("--again", nargs="+", default=(), metavar="WAY", help="measure these anew")
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
    kept = KeptRows(args.to.with_suffix(".jsonl"), keys)
    kept.drop([r for r in kept.rows if r.get("how") in args.again and r["seed"] in args.seeds])
    told = {
        "test_images": args.test_images, "seeds": args.seeds, "commit": args.commit,
        "torch": version("torch"), "ways": args.ways, "train_images": args.train_images,
    }  # fmt: skip
    measure(plan.context, told, kept)
    args.to.write_text(table(kept.rows, told))
    print(table(kept.rows, told))


def main() -> None:
    """Judge sets of branches."""
    keys = ("seed", "count", "how")
    judge_trained(__doc__, measure, table, to="masks_judged.md", seeds=(0, 1, 2, 3, 4), keys=keys)


if __name__ == "__main__":
    main()
