"""Which parent a search had better begin with, when training is short.

The shallowest network of the peer's space (`spaces/same_dimensions.yaml`: every identity branch
gone, 19 % of ResNet-20's MACs), fine-tuned for 8 epochs, from parents of 8 epochs that differ in
p_L alone. 4,500 images of CIFAR-10 as JPEG, 500 to validate on, 2,000 test images that nothing was
chosen by.

    python benchmarks/first_parent.py --cifar FOLDER      # three seeds, 10 minutes on one core
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch
from search_vs_data import space_settings, split_as_the_peer, write_images

from autodepth.networks.catalogue import build_network
from autodepth.networks.weights.own_files import load_saved
from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search
from autodepth.trial.context import TrialContext
from autodepth.trial.device.device import device_name
from autodepth.trial.run_trial import WEIGHTS_FILE, run_trial
from autodepth.trial.training.evaluation import evaluate

RESULT = Path(__file__).parent / "results" / "first_parent.md"
CHANCES, SEEDS = (0.3, 0.8, 1.0), (0, 1, 2)
POLICY = Policy(
    criterion="ablation_accuracy",
    sensitivity_threshold=(1e9,),
    protected=(4, 7),
    least_per_stage=0,
    fine_tune_epochs=8,
    train=TrainingSettings(
        epochs=8,
        batch_size=128,
        learning_rate=0.1,
        fine_tune_learning_rate=0.02,
        weight_decay=5e-4,
    ),
)


def setting_of(cifar: Path, seed: int, scratch: Path) -> TrialContext:
    """Return the peer's images and split, and its network, on one CPU thread."""
    images = scratch / f"{seed}.npz"
    write_images("cifar10-jpeg", images, seed=seed, cifar=cifar, test_images=2000)
    space = Path(__file__).parent / "spaces" / "same_dimensions.yaml"
    plan = plan_search(
        SearchRequest(
            space=space,
            budget="1cpu-h",
            data=f"npz:{images}",
            settings=space_settings(images),
            seed=seed,
            concurrency=1,
        )
    )
    data = split_as_the_peer(plan.context.data, images)
    return replace(plan.context, data=data, threads=1)


def accuracies(setting: TrialContext, p_last: float, folder: Path) -> tuple[float, float]:
    """Return the test accuracy of a parent's shallowest network, and the parent's on validation."""
    policy = replace(POLICY, survival_prob_last=p_last)
    folder.mkdir()
    result = run_trial(policy, setting, folder=folder, on_epoch=lambda _: None)
    network = build_network(setting.spec).without(result.removed)
    load_saved(network.module, folder / WEIGHTS_FILE)
    network.module.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    test = setting.task.batches("test", batch_size=256, generator=None)
    return evaluate(network.module, test).accuracy, result.parent_accuracy


def main() -> None:
    """Train, measure, print the table and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cifar", type=Path, required=True, help="train/CLASS/ and test/CLASS/")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[float, list[tuple[float, float]]] = {chance: [] for chance in CHANCES}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in SEEDS:
            setting = setting_of(arguments.cifar, seed, Path(scratch))
            for chance, rows in found.items():
                rows.append(accuracies(setting, chance, Path(scratch) / f"{seed} {chance}"))
                print(f"seed {seed}, p_L {chance}: {rows[-1][0]:.4f}", flush=True)
    lines = [
        f"Test accuracy of the shallowest network (mean ± sd, seeds {SEEDS}), and its parent's on "
        f"validation. {device_name(torch.device('cpu'))}, one thread, torch {version('torch')}.\n",
        "| p_L of the parent | parent | shallowest | by seed |",
        "|---|---|---|---|",
    ]
    for chance, rows in found.items():
        shallow, parent = zip(*rows, strict=True)
        lines.append(
            f"| {chance} | {statistics.fmean(parent):.1%} | {statistics.fmean(shallow):.1%} ± "
            f"{statistics.stdev(shallow):.1%} | {', '.join(f'{a:.1%}' for a in shallow)} |"
        )
    RESULT.write_text("\n".join(lines) + "\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
