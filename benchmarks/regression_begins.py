"""Where a network for regression begins: as initialised, at the mean, at mean and deviation.

A ResNet-14 learns where the ink of scikit-learn's digits has its centre, in 6 epochs of the guide
of regression, with targets in pixels, in hundredths of them, in tens and in hundreds. Errors are
shares of that unit, so that all compare.

Run: python benchmarks/regression_begins.py
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from autodepth.data.settings import DataSettings
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.weights.last_layer import begin_at, last_linear
from autodepth.tasks.shipped.regression import Regression

SPEC = NetworkSpec(name="resnet14", classes=2, channels=1, height=8, width=8)
STARTS = ("as initialised", "at the mean", "at mean and deviation")
UNITS = {"hundredths": 100.0, "pixels": 1.0, "tens": 0.1, "hundreds": 0.01}
EPOCHS, RATES, COUNT = 6, {"sgd": 0.05, "adamw": 0.003}, 800


def main() -> None:
    """Print a table of validation errors."""
    torch.set_num_threads(1)
    print(f"| optimizer | unit | {' | '.join(STARTS)} | who always tells the mean |")
    print("|---" * 6 + "|")
    for kind, (unit, factor) in itertools.product(("sgd", "adamw"), UNITS.items()):
        with tempfile.TemporaryDirectory() as folder:
            write_ink(Path(folder), factor)
            task = Regression(DataSettings(name=f"csv:{folder}/ink.csv", augment="none"))
            task = task.for_network(SPEC)
            errors = [trained(task, start, kind) / factor for start in STARTS]
        guess = task.metrics["mae"].worst / factor
        print(
            f"| {kind} | {unit} | " + " | ".join(f"{e:.4f}" for e in (*errors, guess)) + " |",
            flush=True,
        )


def write_ink(folder: Path, factor: float) -> None:
    """Write digits, and where their ink has its centre."""
    lines = ["image,across,down"]
    for number, image in enumerate(load_digits().images[:COUNT]):
        Image.fromarray((image * 15.9).astype(np.uint8)).save(folder / f"{number}.png")
        centre = [factor * (image.sum(axis) @ np.arange(8)) / image.sum() for axis in (0, 1)]
        lines.append(f"{number}.png,{centre[0]:.6g},{centre[1]:.6g}")
    (folder / "ink.csv").write_text("\n".join(lines))


def trained(task: Regression, start: str, kind: str) -> float:
    """Return the validation error after training."""
    torch.manual_seed(0)
    module = build_network(SPEC, seed=1).module
    mean, deviation = task.targets_spread()
    if start != STARTS[0]:
        layer = last_linear(module)
        begin_at(layer, mean, deviation if start == STARTS[2] else torch.ones_like(mean))
    shuffle = torch.Generator().manual_seed(0)
    batches = task.batches("train", batch_size=32, generator=shuffle)
    optimizer = (
        torch.optim.AdamW(module.parameters(), weight_decay=5e-4)
        if kind == "adamw"
        else torch.optim.SGD(module.parameters(), momentum=0.9, weight_decay=5e-4, nesterov=True)
    )
    steps = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATES[kind], total_steps=EPOCHS * len(batches)
    )
    module.train()
    for _ in range(EPOCHS):
        for images, targets in batches:
            optimizer.zero_grad()
            task.loss(module(images), targets).backward()
            optimizer.step()
            steps.step()
    return measured(task, module)


@torch.no_grad()
def measured(task: Regression, module: nn.Module) -> float:
    """Return the mean absolute error on the validation split."""
    meter = task.meter()
    for images, targets in task.batches("validation", batch_size=64, generator=None):
        meter.update(module.eval()(images), targets)
    return meter.compute()["mae"]


if __name__ == "__main__":
    main()
