"""A trained network made smaller: autodepth beside what a person does without it.

All begin with public weights for CIFAR-10 and have the same images in the same split, one CPU
thread and the same device seconds:

- joint: a search (spaces/pretrained.yaml) of branches and widths chosen together, recovered;
- gentle: the same, fine-tuned at a rate of 0.02, as the two peers below, in place of 0.05;
- single: the search at 0.05 with single scores and nothing between removal and fine-tuning, as
  autodepth did before it judged sets;
- random, even: that search with branches drawn at random, or spaced evenly, recovered likewise;
- width: Torch-Pruning alone, the whole network narrower by one ratio (`pretrained_peers.py`);
- shelf: ResNet-20 as somebody trained it already, fine-tuned likewise.

Of each, the network that is best on the validation images at no more than a share of the MACs;
its accuracy is told on test images. The weights know the validation images, which favours nobody:
all choose by them.

    python benchmarks/pretrained_vs_peers.py --cifar FOLDER --weights resnet56.th \
        --shelf resnet20.th --seconds 600

Runs that are there already are left out, so it may be ended and started again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from kept_runs import write_run
from search_vs_plain_tune import conditions

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
RUNS = RESULTS / "pretrained_vs_peers"
SHARES = (0.75, 0.5, 0.33, 0.2)
WHOLE = 125_485_706  # MACs of ResNet-56
# The space's first policies, for a search without a choice of recovery.
STARTS = (
    "[{macs_target: 0.33, fine_tune_epochs: 8}, {macs_target: 0.5, fine_tune_epochs: 6}, "
    "{macs_target: 0.75, fine_tune_epochs: 5}, {macs_target: 0.2, fine_tune_epochs: 12}]"
)
SEARCHED = {
    "joint": [],
    "gentle": ["train.fine_tune_learning_rate=0.02"],
    "single": [
        "search.removal=one_shot", "search.criterion=ablation_loss", "search.recovery=none",
        f"start_with={STARTS}",
    ],
    "random": ["search.removal=one_shot", "search.criterion=random"],
    "even": ["search.removal=one_shot", "search.criterion=evenly_spaced"],
}  # fmt: skip
PEERS = {"width": 56, "shelf": 20}
Values = dict[str, Any]


def carry_out(who: str, seed: int, images: Path, arguments: argparse.Namespace) -> Values:
    """Run one contestant for its seconds and return what it measured."""
    if who in SEARCHED:
        from search_vs_runs import run_autodepth  # noqa: PLC0415 - seconds; not to report

        return run_autodepth(
            "pretrained", images, budget=f"{arguments.seconds:g}cpu-s", seed=seed, cpus=1,
            weights=arguments.weights,
            settings=["data.train_images=null", "data.validation=500", *SEARCHED[who]],
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "peer.json"
        weights = arguments.weights if who == "width" else arguments.shelf
        subprocess.run(
            [sys.executable, str(arguments.peer), who, "--weights", str(weights),
             "--depth", str(PEERS[who]), "--data", str(images), "--seed", str(seed),
             "--seconds", str(arguments.seconds), "--out", str(out)],
            check=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        told: Values = json.loads(out.read_text())
    return {"device_s": told["wall_s"], "trials": told["trials"]}


def best_within(trials: list[Values], share: float) -> float | None:
    """Return the test accuracy of the best network, by validation, at a share of the MACs."""
    small = [t for t in trials if t.get("test_acc") is not None and t["macs"] <= share * WHOLE]
    return max(small, key=lambda trial: trial["val_acc"])["test_acc"] if small else None


def table(runs: list[Values]) -> str:
    """Return what all runs came to, as Markdown."""
    first = runs[0]["conditions"]
    lines = [
        "Test accuracy in percent of the network that is best on validation images, at no more "
        "than a share of ResNet-56's MACs; CIFAR-10 as JPEG, 5,000 images of which 500 validate, "
        f"{first['test_images']:,} test images, {runs[0]['seconds']:g} device seconds on one "
        f"thread of {first['processor']}, torch {first['versions']['torch']}; made by "
        "benchmarks/pretrained_vs_peers.py.",
        "",
        "| contestant | seeds | networks | " + " | ".join(f"{s:.0%}" for s in SHARES) + " |",
        "|---" * (3 + len(SHARES)) + "|",
    ]
    for who in (*SEARCHED, *PEERS):
        own = [run for run in runs if run["who"] == who]
        if own:
            cells = [
                _spread([best_within(run["trials"], share) for run in own]) for share in SHARES
            ]
            tried = statistics.fmean(_networks(run["trials"]) for run in own)
            lines.append(f"| {who} | {len(own)} | {tried:.0f} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _networks(trials: list[Values]) -> int:
    return sum("val_acc" in trial for trial in trials)


def _spread(values: list[float | None]) -> str:
    known = [100 * value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return "none"
    mean = f"{statistics.fmean(known):.1f}"
    return f"{mean} ± {statistics.stdev(known):.1f}" if len(known) > 1 else mean


def _images(seed: int, arguments: argparse.Namespace) -> Path:
    from search_vs_data import write_images  # noqa: PLC0415 - seconds; not to report

    path: Path = arguments.work / f"cifar10-{arguments.test_images}-seed{seed}.npz"
    if not path.exists():
        arguments.work.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft.npz")
        write_images(
            "cifar10-jpeg", draft, seed=seed, cifar=arguments.cifar,
            test_images=arguments.test_images,
        )  # fmt: skip
        draft.rename(path)
    return path


def main() -> None:
    """Carry out the runs that are asked for and missing, then write the table."""
    arguments = _arguments()
    for seed in arguments.seed:
        for who in arguments.who:
            path = RUNS / f"{who}_{arguments.seconds:g}s_seed{seed}.json"
            if arguments.report or path.exists():
                continue
            told = carry_out(who, seed, _images(seed, arguments), arguments)
            about = {"who": who, "seed": seed, "seconds": arguments.seconds}
            write_run(path, {**about, "conditions": conditions(arguments), **told})
            print(f"{who}, seed {seed}: {_networks(told['trials'])} networks", flush=True)
    found = [json.loads(path.read_text()) for path in sorted(RUNS.glob("*.json"))]
    lengths = sorted({run["seconds"] for run in found})
    text = "\n".join(table([run for run in found if run["seconds"] == s]) for s in lengths)
    (RESULTS / "pretrained_vs_peers.md").write_text(text)
    print(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--weights", type=Path, help="of ResNet-56")
    add("--shelf", type=Path, help="weights of ResNet-20")
    add("--cifar", type=Path, help="folder with train/CLASS/ and test/CLASS/")
    add("--seconds", type=float, default=600, help="device seconds of a run")
    add("--seed", nargs="+", type=int, default=[0, 1, 2])
    add("--who", nargs="+", choices=(*SEARCHED, *PEERS), default=(*SEARCHED, *PEERS))
    add("--test-images", type=int, default=2000)
    add("--peer", type=Path, default=ROOT.parent / "shared" / "peers" / "pretrained_peers.py")
    add("--work", type=Path, default=Path(tempfile.gettempdir()) / "pretrained_vs_peers",
        help="folder for the .npz files")  # fmt: skip
    add("--report", action="store_true", help="only write the table of the runs there are")
    return parser.parse_args()


if __name__ == "__main__":
    main()
