"""The thesis measured: stochastic depth and removal, alone and together.

{constant depth, stochastic depth} x {unpruned, about half, about 30 % of the MACs}, before and
after fine-tuning, every parent trained for the same device-time: stochastic depth computes fewer
branches per step, so it gets more epochs. Beside the branches that ablation finds weakest, as
many chosen at random; and the same small network from scratch for the device-time that parent
and fine-tuning took together: at constant depth; with random depth, which buys it more epochs; and
grown, for half of that time as a network that lacks more branches, which then come back. Only
identity blocks go, so equal counts are equal MACs to the last digit. Also, for both parents of the
first seed: Spearman's correlation of each criterion's score of a branch with the accuracy after
that branch alone was removed and the rest fine-tuned.

Accuracies are of test images that nothing was chosen by; sensitivities are measured on validation
images. A seed fixes initialisation, batches, gates and random choices.

    python benchmarks/hybrid_2x2.py --data folder:CIFAR10 --seeds 0 1 2     # ResNet-20, one core,
    python benchmarks/hybrid_2x2.py --report                                # half an hour per seed
    python benchmarks/hybrid_2x2.py --data folder:CIFAR10 --only grown      # that row alone, anew
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from autodepth.networks.catalogue import build_network
from autodepth.networks.pruning.growing import with_branches_back
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.policy import Policy
from autodepth.policy.settings import CRITERIA
from autodepth.policy.survival import expected_cost, survival_probabilities
from autodepth.policy.training_settings import TrainingSettings
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search
from autodepth.space.file.shipped import default_space
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.fine_tuning import fine_tune
from autodepth.trial.phases.parent import score_branches, train_parent
from autodepth.trial.phases.pruning import Means, prune
from autodepth.trial.training.evaluation import evaluate

RESULTS = Path(__file__).parent / "results"
STOCHASTIC = 0.8  # p_L: shallow networks want it high
COUNTS = {4: "53.5 %", 6: "30.2 %"}  # identity blocks removed from ResNet-20: MACs left
MORE = {4: 6, 6: 7}  # as many lack in the network that a grown one begins as
TRANSITIONS = (4, 7)
RANDOM_DEPTH, GROWN = "from scratch, random depth", "grown"
ORIGINS = ("from scratch", RANDOM_DEPTH, GROWN)
Row = dict[str, Any]


class Seed:
    """Everything one seed measures.

    Args:
        setting: network, data, device and seed.
        test_images: how many test images accuracies are taken on, evenly spread.
        epochs: of a parent of constant depth.
        tuning: epochs of fine-tuning.
    """

    def __init__(
        self, setting: TrialContext, *, test_images: int, epochs: int, tuning: int
    ) -> None:
        self.context, self.epochs, self.tuning = setting, epochs, tuning
        test = setting.data.open_test()
        index = np.linspace(0, len(test) - 1, min(test_images, len(test))).round()
        self._test = setting.task.images.batches(test.subset(index.astype(np.int64)), 256)
        self.whole = build_network(setting.spec)

    def policy(self, last: float, **others: Any) -> Policy:
        """Return a policy of equal training device-time, whatever its p_L is."""
        branches = self.whole.branches
        macs = [branch.macs for branch in branches]
        survival = survival_probabilities(last, len(branches))
        saved = sum(macs) - expected_cost(survival, macs)
        share = 1 - saved / self.whole.total_macs
        train = TrainingSettings(
            epochs=round(self.epochs / share), batch_size=128, learning_rate=0.1
        )
        defaults = {"criterion": "ablation_loss", "protected": TRANSITIONS, "train": train}
        return Policy(survival_prob_last=last, **(defaults | others))

    def rows(self, only: Sequence[str], *, correlate: bool) -> Iterator[Row]:
        """Yield every measurement of this seed, or those that are named.

        Args:
            only: names out of `ORIGINS`; empty for all rows.
            correlate: whether to compare criteria, too.
        """
        if not only:
            yield from self._of_parents(correlate=correlate)
        for how, count in product(only or ORIGINS, COUNTS):
            yield self._small(how, count)

    def _of_parents(self, *, correlate: bool) -> Iterator[Row]:
        for last in (1.0, STOCHASTIC):
            policy = self.policy(last)
            parent = train_parent(policy, self.context, lambda _: None).network
            yield self._row(last, "unpruned", 0, parent, after=self._accuracy(parent))
            for count in COUNTS:
                for criterion in ("ablation_loss", "random"):
                    wish = replace(policy, criterion=criterion, branches_removed=count)
                    yield self._pruned(last, wish, parent)
            if correlate:
                yield self._correlations(last, policy, parent)

    def _pruned(self, last: float, policy: Policy, parent: ResidualNetwork) -> Row:
        scores = score_branches(policy, self.context, parent)
        network = prune(
            parent,
            policy,
            scores,
            Means(
                score=lambda _: {},
                choose=dict,
                recalibrate=lambda _: None,
                fine_tune_between=lambda _: None,
                reconstruct=lambda _: 0,
            ),
        ).network
        before = self._accuracy(network)
        self._tune(network, policy, parent, self.tuning)
        return self._row(
            last, policy.criterion, policy.branches_removed or 0, network,
            before=before, after=self._accuracy(network), removed=list(network.removed),
        )  # fmt: skip

    def _correlations(self, last: float, policy: Policy, parent: ResidualNetwork) -> Row:
        """Compare cheap scores of single branches with what losing each costs in the end."""
        accuracies = {}
        for branch in parent.branches:
            network = parent.without([branch.index])
            self._tune(network, policy, parent, 1)
            accuracies[branch.index] = self._accuracy(network)
        correlations = {}
        for criterion in CRITERIA:
            scores = score_branches(replace(policy, criterion=criterion), self.context, parent)
            pairs = [(scores[b], accuracies[b]) for b in sorted(accuracies)]
            correlations[criterion] = float(spearmanr(*zip(*pairs, strict=True)).statistic)
        return {"kind": "correlations", "p_L": last, "after": accuracies, "spearman": correlations}

    def _small(self, how: str, count: int) -> Row:
        """Train the small network alone, for the device-time of parent and fine-tuning."""
        whole = build_network(self.context.spec, seed=self.context.seed_for("init"))
        small = whole.without(self._spread(count))
        last = STOCHASTIC if how == RANDOM_DEPTH else 1.0
        policy = replace(self.policy(1.0), fine_tune_p_L=last)
        left = [branch.macs for branch, _ in small.kept()]
        saved = sum(left) - expected_cost(survival_probabilities(last, len(left)), left)
        share = small.total_macs / whole.total_macs
        # In passes of the whole network, as everything here.
        time, a_pass = self.epochs + self.tuning * share, share - saved / whole.total_macs
        values: Row = {"removed": list(small.removed)}
        if how == GROWN:
            time /= 2
            smaller = whole.without(self._spread(MORE[count]))
            before = round(time * whole.total_macs / smaller.total_macs)
            self._tune(smaller, policy, whole, before, "before growing")
            coming = set(smaller.removed) - set(small.removed)
            small = with_branches_back(smaller, whole, coming)
            values |= {"epochs_before": before, "before": self._accuracy(small)}
        epochs = round(time / a_pass)
        self._tune(small, policy, whole, epochs)
        return self._row(last, how, count, small, after=self._accuracy(small),
                         epochs=epochs, **values)  # fmt: skip

    def _spread(self, count: int) -> list[int]:
        """Return as many identity blocks, from the ends of the stages."""
        going = [b.index for b in self.whole.branches if b.index not in TRANSITIONS]
        return sorted(going, key=lambda b: (self._position(b), b))[-count:]

    def _position(self, branch: int) -> int:
        """Return the place of a branch in its stage."""
        stage = self.whole.branches[branch - 1].stage
        return [b.index for b in self.whole.branches if b.stage == stage].index(branch)

    def _tune(
        self,
        network: ResidualNetwork,
        policy: Policy,
        parent: ResidualNetwork,
        epochs: int,
        purpose: str = "fine-tuning",
    ) -> None:
        fine_tune(
            network,
            policy,
            self.context,
            parent=parent,
            epochs=epochs,
            purpose=purpose,
            on_epoch=lambda _: None,
        )

    def _accuracy(self, network: ResidualNetwork) -> float:
        network.module.eval()
        return evaluate(network.module, self._test).accuracy

    def _row(
        self, last: float, how: str, count: int, network: ResidualNetwork, **values: Any
    ) -> Row:
        return {
            "kind": "accuracy", "p_L": last, "how": how, "count": count,
            "macs": network.total_macs, **values,
        }  # fmt: skip


def measure(arguments: argparse.Namespace, seed: int) -> None:
    """Measure one seed and write its file, row by row."""
    plan = plan_search(
        SearchRequest(
            space=default_space(),
            budget="1trials",
            data=arguments.data,
            network="resnet20",
            seed=seed,
            settings=[
                f"data.train_images={arguments.train_images}",
                "data.validation=1000",
                "sensitivity.images=512",
                "data.augment=flip-crop",
            ],
        )
    )
    torch.set_num_threads(1)
    work = Seed(
        plan.context,
        test_images=arguments.test_images,
        epochs=arguments.epochs,
        tuning=arguments.tuning,
    )
    RESULTS.mkdir(exist_ok=True)
    path, told = RESULTS / f"hybrid_2x2_seed{seed}.json", conditions(arguments)
    rows = _measured_before(path, arguments.only, told) if arguments.only else []
    for row in work.rows(arguments.only, correlate=seed == 0):
        rows.append(row)
        print(seed, row, flush=True)
        content = {"seed": seed, "conditions": told, "rows": rows}
        path.write_text(json.dumps(content, indent=1) + "\n")


def _measured_before(path: Path, anew: Sequence[str], told: Row) -> list[Row]:
    """Return the rows of a seed that stay; they have to be of the same conditions."""
    before = json.loads(path.read_text())
    if before["conditions"] != told:
        raise SystemExit(f"--only adds to rows of {before['conditions']}, but these are of {told}")
    return [row for row in before["rows"] if row.get("how") not in anew]


def conditions(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the numbers were measured with."""
    names = ("train_images", "test_images", "epochs", "tuning")
    return {
        "network": "resnet20, option A",
        "data": "CIFAR-10 as JPEG",
        **{name: getattr(arguments, name) for name in names},
        "p_L": STOCHASTIC,
        "threads": 1,
        "versions": {"python": platform.python_version(), "torch": version("torch")},
    }


def report() -> str:
    """Return the table of all seeds that were measured: mean and standard deviation."""
    files = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("hybrid_2x2_seed*.json"))]
    cells: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in (row for file in files for row in file["rows"] if row["kind"] == "accuracy"):
        cells[row["p_L"], row["count"], row["how"]].append(row)
    told = files[0]["conditions"]
    lines = [
        f"ResNet-20 on CIFAR-10 JPEG, {told['train_images']:,} training images, constant depth "
        f"{told['epochs']} epochs, fine-tuning {told['tuning']}; test accuracy in percent on "
        f"{told['test_images']:,} images, mean ± sd over {len(files)} seeds, or (as many as stand "
        "beside); one CPU thread, "
        f"torch {told['versions']['torch']}.",
        "",
        "| training | MACs left | chosen by | before fine-tuning | after |",
        "|---|---|---|---|---|",
    ]
    for (last, count, how), rows in sorted(cells.items(), key=lambda item: (item[0][1], item[0])):
        training = "constant depth" if last == 1 else f"stochastic depth, p_L = {last}"
        left = COUNTS.get(count, "100 %")
        seeds = "" if len(rows) == len(files) else f" ({len(rows)})"
        cell = {
            key: spread and spread + seeds
            for key in ("before", "after")
            for spread in [_spread([r[key] for r in rows if key in r])]
        }
        lines.append(f"| {training} | {left} | {how} | {cell['before']} | {cell['after']} |")
    for file in files:
        for row in (row for row in file["rows"] if row["kind"] == "correlations"):
            lines += ["", f"Spearman's correlation over {len(row['after'])} branches, "
                      f"p_L = {row['p_L']}, seed {file['seed']} (-1 is best: worth much, so "
                      "accuracy is low without it): "
                      + ", ".join(f"{k} {v:+.2f}" for k, v in row["spearman"].items())]  # fmt: skip
    return "\n".join(lines) + "\n"


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    deviation = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.fmean(values):.1f}{deviation}"


def main() -> None:
    """Measure the seeds asked for, or write the report of those that were."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--train-images", type=int, default=3000)
    parser.add_argument("--test-images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--tuning", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=ORIGINS, default=[])
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    for seed in [] if arguments.report else arguments.seeds:
        measure(arguments, seed)
    text = report()
    print(text)
    (RESULTS / "hybrid_2x2.md").write_text(text)


if __name__ == "__main__":
    main()
