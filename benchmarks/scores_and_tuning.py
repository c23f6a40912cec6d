"""Which score of a set of branches tells how accurate a network is once it is tuned without them?

Of a trained ResNet-56, sets of 18 branches of equal MACs are chosen in very different ways. Each
set has every score there is: judged as it is (KL divergence from the whole network, loss, errors;
batch statistics measured anew, or as they were), and the sum of what its branches are worth alone,
by every criterion. Then each network is fine-tuned for several lengths, and Spearman's rank
correlation of score and accuracy is told. Scores are taken on images of one half of the test split,
which the weights do not know; accuracies on images of the other half.

    python benchmarks/scores_and_tuning.py --data folder:CIFAR10 --weights resnet56.th

Rows that are there already are left out, so it may be ended and started again.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from kept_rows import KeptRows
from scores_told import JOINT, RESAMPLED, Told, table

from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.gates.masked_runs import WHOLE, Mask, outputs_without
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.choosing.mask_search import closest
from autodepth.policy.policy import Policy
from autodepth.policy.settings import CRITERIA
from autodepth.policy.training_settings import TrainingSettings
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search
from autodepth.space.file.shipped import default_space
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.branches.ablation import ablate
from autodepth.trial.phases.branches.criteria import branch_scores
from autodepth.trial.phases.branches.joint import GLANCED_IMAGES, JUDGED_IMAGES, judge_masks
from autodepth.trial.phases.branches.judging import Judge
from autodepth.trial.phases.fine_tuning import fine_tune
from autodepth.trial.phases.parent import train_parent
from autodepth.trial.phases.pruning import removal_from
from autodepth.trial.phases.recovery import recalibrate_batch_norm
from autodepth.trial.training.evaluation import evaluate

RESULTS = Path(__file__).parent / "results"
COUNT, RANDOM_DRAWS = 18, 5
LENGTHS = (0.25, 0.5, 1.0)
POLICY = Policy(
    train=TrainingSettings(epochs=0, batch_size=64, learning_rate=0.02),
    removal="joint", branches_removed=COUNT, recovery="recalibrate",
)  # fmt: skip
Scores = dict[str, float]


class Sets:
    """Chooses sets of branches of one network, and scores them: the higher, the worse.

    Args:
        context: whose validation images scores are taken on.
        parent: a trained network. Branches whose MACs differ from the others' stay.
    """

    def __init__(self, context: TrialContext, parent: ResidualNetwork) -> None:
        self._context, self._parent = context, parent
        usual = statistics.mode(b.macs for b in parent.branches)
        self._branches = [b.index for b in parent.branches if b.removable and b.macs == usual]
        protected = tuple(b.index for b in parent.branches if b.index not in self._branches)
        self._removal = removal_from(parent, replace(POLICY, protected=protected))
        self._batches = context.scoring_batches(JUDGED_IMAGES)
        self._judge = Judge(parent, self._batches)
        ablation = ablate(parent, self._batches)
        self._single = {
            "ablation_accuracy": ablation.accuracy_lost(),
            "ablation_loss": ablation.loss_gained(),
            "ablation_kl": ablation.divergence(),
        }
        for name in CRITERIA:
            if name not in self._single:
                generator = context.generator("random criterion")
                self._single[name] = branch_scores(name, parent, self._batches, generator)
        alone = [frozenset({branch}) for branch in self._branches]
        self._stale = self._as_they_were(alone)

    def chosen(self) -> dict[str, Mask]:
        """Return different sets by how they were chosen."""
        draws = random.Random(0)
        found = {name: self._in_order(worth) for name, worth in self._single.items()}
        found["first"] = self._in_order({b: b for b in self._branches})
        found["last"] = self._in_order({b: -b for b in self._branches})
        found["greedy"] = self._greedy()
        judged = judge_masks(self._context, self._parent, self._removal)
        found["joint"] = closest({m: far for m, far in judged.items() if self._fits(m)}, bool)
        for number in range(1, RANDOM_DRAWS + 1):
            found[f"random {number}"] = self._in_order({b: draws.random() for b in self._branches})
        return {how: mask for mask, how in {m: how for how, m in found.items()}.items()}

    def scores(self, mask: Mask) -> Scores:
        """Return what each criterion says of a set."""
        judged = self._judge([mask])[mask]
        told = {
            JOINT: judged.divergence,
            "loss of the set": judged.loss,
            "errors of the set": 1 - judged.accuracy,
            "KL of the set, statistics as they were": self._as_they_were([mask])[mask],
        }
        for name, worth in self._single.items():
            told[f"sum of {name}"] = sum(worth[branch] for branch in mask)
        stale = sum(self._stale[frozenset({branch})] for branch in mask)
        told["sum of ablation_kl, statistics as they were"] = stale
        return told

    def _fits(self, mask: Mask) -> bool:
        return len(mask) == COUNT and self._removal.allows(mask)

    def _in_order(self, worth: Mapping[int, float]) -> Mask:
        """Return the set of those worth least."""
        going: Mask = WHOLE
        for branch in sorted(self._branches, key=lambda b: (worth[b], b)):
            if len(going) < COUNT and self._removal.allows(going | {branch}):
                going |= {branch}
        return going

    def _greedy(self) -> Mask:
        """Return the set that comes of letting go, again and again, what is missed least."""
        glance = Judge(self._parent, self._context.scoring_batches(GLANCED_IMAGES))
        going: Mask = WHOLE
        while len(going) < COUNT:
            more = [going | {b} for b in self._branches if b not in going]
            found = glance([mask for mask in more if self._removal.allows(mask)])
            going = min(found, key=lambda mask: found[mask].divergence)
        return going

    def _as_they_were(self, masks: Sequence[Mask]) -> dict[Mask, float]:
        """Return divergences with the batch statistics of the whole network."""
        gated = GatedNetwork(self._parent)
        gated.eval()
        gated.open_all()
        far, seen = defaultdict[Mask, float](float), 0
        for images, _ in self._batches:
            found = dict(outputs_without(gated, images, [*masks, WHOLE]))
            for mask in masks:
                far[mask] += _divergence(found[mask], found[WHOLE]) * len(images)
            seen += len(images)
        return {mask: total / seen for mask, total in far.items()}


def _divergence(scores: torch.Tensor, whole: torch.Tensor) -> float:
    logs = scores.log_softmax(1), whole.log_softmax(1)
    return F.kl_div(*logs, log_target=True, reduction="batchmean").item()


def cut(parent: ResidualNetwork, mask: Collection[int], context: TrialContext) -> ResidualNetwork:
    """Return the network without a set of branches, its statistics measured anew."""
    network = parent.without(mask)
    batches = context.training_batches(POLICY.train.batch_size, "recalibration")
    recalibrate_batch_norm(network, batches, POLICY.recalibration_batches)
    return network


def tuned(
    parent: ResidualNetwork, mask: Collection[int], context: TrialContext, epochs: float
) -> float:
    """Return the accuracy after fine-tuning; of less than an epoch, on as many images."""
    train = context.data.train
    some = torch.randperm(len(train), generator=context.generator("fine-tuned on"))
    part = train.subset(some[: round(min(1.0, epochs) * len(train))].numpy())
    context = replace(context, data=replace(context.data, train=part))
    network, heard = cut(parent, mask, context), []
    fine_tune(
        network, POLICY, context, parent=parent, epochs=max(1, round(epochs)),
        on_epoch=heard.append,
    )  # fmt: skip
    return float(heard[-1].evaluation.accuracy)


def measure(context: TrialContext, args: argparse.Namespace, kept: KeptRows) -> None:
    """Keep a row for each set, and one for each fine-tuning."""
    parent = train_parent(POLICY, context, print).network
    test = context.data.open_test()
    index = np.linspace(0, len(test) - 1, min(args.test_images, len(test))).round()
    apart = replace(context.data, validation=test.subset(index.astype(np.int64)))
    tuning = replace(context, data=apart)
    if not kept.find(how="whole"):
        accuracy = evaluate(parent.module.eval(), tuning.validation_batches()).accuracy
        kept.add({"how": "whole", "macs": parent.total_macs, "accuracy": accuracy})
    if not kept.find(how=f"random {RANDOM_DRAWS}", epochs=None):
        sets = Sets(context, parent)
        for how, mask in sets.chosen().items():
            macs = parent.without(mask).total_macs
            kept.add(
                {"how": how, "removed": sorted(mask), "macs": macs, "scores": sets.scores(mask)}
            )
    chosen = [row for row in kept.rows if "scores" in row]
    for seed in args.seeds:
        for epochs in args.lengths:
            for row in chosen:
                if kept.find(how=row["how"], epochs=epochs, seed=seed):
                    continue
                accuracy = tuned(parent, row["removed"], replace(tuning, seed=seed), epochs)
                kept.add({"how": row["how"], "epochs": epochs, "seed": seed, "accuracy": accuracy})


def main() -> None:
    """Measure, and write results/scores_and_tuning.{md,jsonl}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--report", action="store_true", help="only write the table of the rows")
    parser.add_argument("--train-images", type=int, default=2000)
    parser.add_argument("--test-images", type=int, default=1000)
    parser.add_argument("--lengths", type=float, nargs="+", default=LENGTHS, metavar="EPOCHS")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0,))
    parser.add_argument("--commit", default="unknown")
    parser.add_argument("--to", type=Path, default=RESULTS / "scores_and_tuning.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    kept = KeptRows(args.to.with_suffix(".jsonl"), ("how", "epochs", "seed"))
    if not args.report:
        settings = [f"data.train_images={args.train_images}", "data.validation_from=test"]
        plan = plan_search(
            SearchRequest(
                space=default_space(), data=args.data, network="resnet56",
                weights=args.weights, budget="1trials", settings=settings,
            )
        )  # fmt: skip
        measure(plan.context, args, kept)
    told = Told(kept.rows)
    told_first, whole = told.sets[0], told.whole
    conditions = (
        f"ResNet-56 with public CIFAR-10 weights ({100 * whole['accuracy']:.1f} % right) on "
        f"CIFAR-10 JPEG without {COUNT} branches of equal MACs, "
        f"{told_first['macs'] / whole['macs']:.1%} of the MACs left, {len(told.sets)} sets; scored "
        f"on {JUDGED_IMAGES} images of one half of the test split; fine-tuned on "
        f"{args.train_images:,} images (a quarter and half of an epoch: on as many of them), "
        f"batches of {POLICY.train.batch_size}, one-cycle to {POLICY.train.learning_rate}, on "
        f"labels alone; accuracies of {args.test_images:,} images of the other half, {told.seeds} "
        f"seed(s) of fine-tuning. Spearman's rank correlation (95 % of {RESAMPLED:,} draws of "
        "sets); error of the accuracy model of searches on sets it has not seen, mean, points; "
        f"accuracy by set, percent. One CPU thread, torch {version('torch')}, commit {args.commit}."
    )
    args.to.write_text(table(told, conditions))
    print(table(told, conditions))


if __name__ == "__main__":
    main()
