"""From a trained ResNet-56 down: accuracy over MACs after a short fine-tune, beside random choice.

For each number of identity blocks removed: the blocks of lowest ablation loss, chosen greedily
(scored anew after each removal), and as many chosen at random, three times; each network is
recalibrated and fine-tuned alike. Test accuracy before and after, on test images that nothing
was chosen by; sensitivities are measured on validation images.

    python benchmarks/pretrained_front.py --data folder:CIFAR10 --weights resnet56.th

Recorded with --train-images 2000 --test-images 1000, 13 minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search
from autodepth.space.file.shipped import default_space
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.fine_tuning import fine_tune
from autodepth.trial.phases.parent import score_branches, train_parent
from autodepth.trial.phases.pruning import Means, prune
from autodepth.trial.phases.recovery import recalibrate_batch_norm
from autodepth.trial.training.evaluation import evaluate

RESULTS = Path(__file__).parent / "results"
COUNTS = (0, 6, 12, 18)  # of 25 identity blocks: 125 M to 40 M MACs
DRAWS = 3
RECALIBRATION = 20


class Front:
    """Removes, recalibrates, fine-tunes and measures.

    Args:
        setting: network, weights, data and device.
        test_images: how many test images accuracies are taken on, evenly spread.
        rate: highest rate of fine-tuning.
        epochs: of fine-tuning.
    """

    def __init__(
        self, setting: TrialContext, *, test_images: int, rate: float, epochs: int
    ) -> None:
        self.context, self.epochs = setting, epochs
        train = TrainingSettings(epochs=0, batch_size=128, learning_rate=rate)
        self.policy = Policy(train=train)
        self.parent = train_parent(self.policy, setting, lambda _: None).network
        shortcuts = {branch.index: branch.shortcut for branch in self.parent.branches}
        projections = tuple(b for b, shortcut in shortcuts.items() if shortcut == "projection")
        self.policy = replace(self.policy, protected=projections)
        test = setting.data.open_test()
        index = np.linspace(0, len(test) - 1, min(test_images, len(test))).round()
        self._test = setting.task.images.batches(test.subset(index.astype(np.int64)), 256)

    def greedy(self) -> tuple[int, ...]:
        """Return the identity blocks in the order in which they go."""
        wish = replace(self.policy, branches_removed=max(COUNTS), removal="greedy")
        pruned = prune(
            self.parent,
            wish,
            score_branches(wish, self.context, self.parent),
            means(
                score=lambda network: score_branches(wish, self.context, network),
                recalibrate=self._recalibrate,
            ),
        )
        return pruned.order

    def random(self, draw: int) -> tuple[int, ...]:
        """Return as many blocks at random."""
        wish = replace(self.policy, branches_removed=max(COUNTS), criterion="random")
        setting = replace(self.context, replicate=draw)
        return prune(self.parent, wish, score_branches(wish, setting, self.parent), means()).order

    def row(self, how: str, removed: tuple[int, ...]) -> dict[str, Any]:
        """Return what is measured of one network."""
        network = self.parent.without(removed)
        network.module.eval()
        as_it_is = self._accuracy(network)
        if removed:
            self._recalibrate(network)
        before = self._accuracy(network)
        fine_tune(
            network, self.policy, self.context, parent=self.parent, epochs=self.epochs,
            on_epoch=lambda _: None,
        )  # fmt: skip
        return {
            "how": how, "count": len(removed), "removed": sorted(removed),
            "macs": network.total_macs, "removed_alone": as_it_is, "recalibrated": before,
            "fine_tuned": self._accuracy(network),
        }  # fmt: skip

    def _recalibrate(self, network: ResidualNetwork) -> None:
        batches = self.context.training_batches(128, "recalibration")
        recalibrate_batch_norm(network, batches, RECALIBRATION)

    def _accuracy(self, network: ResidualNetwork) -> float:
        return evaluate(network.module, self._test).accuracy


def means(**others: Any) -> Means:
    """Return what pruning has done by others; what is not given does nothing."""
    nothing: dict[str, Any] = {
        "score": dict,
        "choose": dict,
        "recalibrate": lambda _: None,
        "fine_tune_between": lambda _: None,
        "reconstruct": lambda _: 0,
    }
    return Means(**{**nothing, **others})


def table(rows: list[dict[str, Any]], told: dict[str, Any]) -> str:
    """Return the rows as Markdown."""
    lines = [
        f"ResNet-56 with public CIFAR-10 weights on CIFAR-10 JPEG; fine-tuning {told['epochs']} "
        f"epoch(s) of {told['train_images']:,} images; test accuracy in percent on "
        f"{told['test_images']:,} images, random choice mean ± sd over {DRAWS} draws; seed "
        f"{told['seed']}, one CPU thread, torch {told['versions']['torch']}.",
        "",
        "| blocks removed | MACs | chosen by | removed | recalibrated | fine-tuned |",
        "|---|---|---|---|---|---|",
    ]
    for count in COUNTS:
        for how in ("greedy ablation", "random"):
            some = [row for row in rows if row["count"] == count and row["how"] == how]
            if some:
                keys = ("removed_alone", "recalibrated", "fine_tuned")
                cells = " | ".join(_spread([row[key] for row in some]) for key in keys)
                lines.append(f"| {count} | {some[0]['macs']:,} | {how} | {cells} |")
    return "\n".join(lines) + "\n"


def _spread(values: list[float]) -> str:
    mean = f"{100 * statistics.fmean(values):.1f}"
    return f"{mean} ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else mean


def main() -> None:
    """Measure and write, row by row."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train-images", type=int, default=4000)
    parser.add_argument("--test-images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.02)
    arguments = parser.parse_args()
    plan = plan_search(
        SearchRequest(
            space=default_space(),
            budget="1trials",
            data=arguments.data,
            network="resnet56",
            weights=arguments.weights,
            seed=arguments.seed,
            settings=[
                f"data.train_images={arguments.train_images}",
                "data.validation=1000",
                "sensitivity.images=256",
                "data.augment=flip-crop",
            ],
        )
    )
    torch.set_num_threads(1)
    front = Front(
        plan.context,
        test_images=arguments.test_images,
        rate=arguments.rate,
        epochs=arguments.epochs,
    )
    told = {
        **{key: value for key, value in vars(arguments).items() if key not in {"data", "weights"}},
        "versions": {"python": platform.python_version(), "torch": version("torch")},
    }
    orders = [("greedy ablation", front.greedy())]
    orders += [("random", front.random(draw)) for draw in range(DRAWS)]
    rows = []
    for count in COUNTS:
        for how, order in orders if count else orders[:1]:
            rows.append(front.row(how, order[:count]))
            print(rows[-1], flush=True)
            RESULTS.mkdir(exist_ok=True)
            content = json.dumps({"conditions": told, "rows": rows}, indent=1)
            (RESULTS / "pretrained_front.json").write_text(content + "\n")
            (RESULTS / "pretrained_front.md").write_text(table(rows, told))
    print(table(rows, told))


if __name__ == "__main__":
    main()
