"""Autodepth beside what a user writes with Ray Tune, OptunaSearch and MLflow alone.

Contestants, in turn on the same machine, each in a process of its own:

- peer: `plain_tune.py` as it is; expert: the same with `--expert`;
- scratch: `small_from_scratch.py`, a few small networks of the family from scratch, on one CPU;
- autodepth: a search of the peer's policy dimensions (spaces/same_dimensions.yaml);
- everything: with what autodepth has besides, width pruning above all (spaces/everything.yaml).

All know ResNet-20 with option B shortcuts, 8 epochs per parent where there is one, on the same
images in the same split, normalised by the same constants, without augmentation. Every front is
chosen on the validation split; its hypervolume is taken on the test split, from accuracy 0 and the
MACs of the unpruned network. Device time counts from when the CPUs are reserved, overhead included;
starting Ray before that counts for nobody. The peer does not say when its trials ended: they are
placed as early as their durations let, which favours it. It opens the test split in every trial,
which is left in its time; autodepth's networks are tested after the search.

    python benchmarks/search_vs_plain_tune.py --cifar FOLDER      # everything, about five hours
    python benchmarks/search_vs_plain_tune.py --data digits --seed 0 --who peer --seconds 300
    python benchmarks/search_vs_plain_tune.py --who scratch --long          # 1,800 device seconds
    python benchmarks/search_vs_plain_tune.py --report            # table and plot of what there is

Runs that are there already are left out, so it may be ended and started again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kept_runs import write_run
from search_vs_data import DATA, write_images
from search_vs_report import LONG, WHO, run_path, write_report

ROOT = Path(__file__).parents[1]
SECONDS = {"digits": 300.0, "cifar10-jpeg": 900.0}
SPACES = {"autodepth": "same_dimensions", "everything": "everything"}
SEEDS = (0, 1, 2)
VERSIONS = ("torch", "ray", "optuna", "mlflow", "numpy")


def main() -> None:
    """Carry out the runs that are asked for and missing, then write the report."""
    arguments = _arguments()
    if not arguments.report:
        wanted = [
            (data, seed, who)
            for data in arguments.data or DATA
            for seed in arguments.seed or SEEDS
            for who in _in_turn(arguments.who or WHO, seed)
        ]
        for data, seed, who in wanted:
            if run_path(data, who, seed, long=arguments.long).exists():
                print(f"{data}, seed {seed}, {who}: there already", flush=True)
            elif len(wanted) == 1:
                carry_out(data, seed, who, arguments)
            else:
                # A process of its own each: what one leaves in memory slows none of the others.
                subprocess.run(
                    [sys.executable, *sys.argv, "--data", data, "--seed", str(seed), "--who", who],
                    check=True,
                )
    print(write_report())


def carry_out(data: str, seed: int, who: str, arguments: argparse.Namespace) -> None:
    """Run one contestant and keep what it measured."""
    from search_vs_runs import (  # noqa: PLC0415 - seconds; not to report
        EPOCHS,
        run_autodepth,
        run_peer,
        run_scratch,
    )

    cpus = arguments.cpus
    seconds = LONG / cpus if arguments.long else arguments.seconds or SECONDS[data]
    images = _images(data, seed, arguments)
    if who in SPACES:
        budget = f"{seconds * cpus:g}cpu-s"
        told = run_autodepth(SPACES[who], images, budget=budget, seed=seed, cpus=cpus)
    elif who == "scratch":
        seconds, cpus = seconds * cpus, 1
        told = run_scratch(arguments.scratch, images, seconds=seconds, seed=seed)
    else:
        expert = who == "expert"
        told = run_peer(
            arguments.peer, images, seconds=seconds, seed=seed, cpus=cpus, expert=expert
        )
    content = {
        "data": data,
        "who": who,
        "seed": seed,
        "seconds": seconds,
        "cpus": cpus,
        "epochs": EPOCHS,
        "long": arguments.long,
        "conditions": conditions(arguments),
        **told,
    }
    path = run_path(data, who, seed, long=arguments.long)
    write_run(path, content)
    print(f"{data}, seed {seed}, {who}: {len(told['trials'])} trials", flush=True)


def conditions(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the numbers were measured with."""
    return {
        "processor": _processor(),
        "cpus_allowed": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "test_images": arguments.test_images,
        "peer_sha256": hashlib.sha256(arguments.peer.read_bytes()).hexdigest(),
        "commit": _commit(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in VERSIONS},
        },
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line for line in lines if line.startswith("model name")), ": unknown")
    return model.partition(":")[2].strip()


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip()


def _images(data: str, seed: int, arguments: argparse.Namespace) -> Path:
    """Return the .npz of a data set, written once for all contestants."""
    name = f"{data}-{arguments.test_images}" + (f"-seed{seed}" if data != "digits" else "")
    path: Path = arguments.work / f"{name}.npz"
    if not path.exists():
        arguments.work.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft.npz")
        write_images(
            data, draft, seed=seed, cifar=arguments.cifar, test_images=arguments.test_images
        )
        draft.rename(path)
    return path


def _in_turn(contestants: tuple[str, ...] | list[str], seed: int) -> list[str]:
    """Return the contestants, another one first for every seed."""
    start = seed % len(contestants)
    return [*contestants[start:], *contestants[:start]]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    work = Path(tempfile.gettempdir()) / "search_vs_plain_tune"
    add = parser.add_argument
    add("--data", nargs="+", choices=DATA, help="default: both")
    add("--seed", nargs="+", type=int, help="default: 0 1 2")
    add("--who", nargs="+", choices=WHO, help="default: all")
    add("--seconds", type=float, help="wall seconds of a run; default: 300, CIFAR-10 900")
    add("--long", action="store_true", help="1,800 device seconds, kept beside the other runs")
    add("--cpus", type=int, default=2, help="trials at the same time, one CPU each")
    add("--test-images", type=int, default=10_000, help="of CIFAR-10, at most")
    add("--cifar", type=Path, default=ROOT / "data" / "cifar10_jpeg",
        help="folder with train/CLASS/ and test/CLASS/")  # fmt: skip
    add("--peer", type=Path, default=ROOT.parent / "shared" / "peers" / "plain_tune.py")
    add("--scratch", type=Path,
        default=ROOT.parent / "shared" / "peers" / "small_from_scratch.py")  # fmt: skip
    add("--work", type=Path, default=work, help="folder for the .npz files")
    add("--report", action="store_true", help="only write table and plot of the runs there are")
    return parser.parse_args()


if __name__ == "__main__":
    main()
