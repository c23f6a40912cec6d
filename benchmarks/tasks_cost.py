"""What tasks cost classification: the training step and the first trial's start, before and since.

Two checkouts of the repository, each in processes of its own, which take turns: a process trains
ResNet-20 on handwritten digits (8x8, where what is not arithmetic counts most) for some steps, then
waits while the other does; and searches and trials are begun, in one process each, and ended at
their first step. Told are CPU seconds of the process, which other work on the machine stretches
less than the clock, of pairs that ran one after the other; and calls of Python functions, which it
does not stretch. Digests say whether both come to the
same weights and to the same front.

    git worktree add --detach ../before 628debe^          # the last commit without tasks
    python benchmarks/tasks_cost.py --before ../before    # 5 minutes of one core

What is in the JSON file already is left out, so it may be ended and started again. Writes
benchmarks/results/tasks_cost.{md,json}.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "tasks_cost.md"
BATCHES = (128, 64)
STEPS = 8  # at a turn; the first of them is left out
KINDS, SEEDS = ("search", "trial"), (0, 1)
TRAIN = {"epochs": 2, "batch_size": 128, "learning_rate": 0.1}
SPACE = """
version: 1
network: resnet20
data: {name: digits, augment: none}
search:
  p_L: {min: 0.5, max: 1.0}
  branches_removed: {type: int, min: 0, max: 6}
  fine_tune_epochs: 1
train: {epochs: 2, batch_size: 128}
confirmation: {share: 0}
rungs: {stages: []}
"""
# What runs in a checkout: only what both know.


def work_step(batch: int) -> None:
    """Train, and tell the CPU seconds of each step whenever a line comes in."""
    import torch  # noqa: PLC0415 - in the process that measures
    from torch.optim.optimizer import register_optimizer_step_post_hook  # noqa: PLC0415

    from autodepth.policy.policy import Policy  # noqa: PLC0415
    from autodepth.service.search.requests import SearchRequest  # noqa: PLC0415
    from autodepth.service.search.search import plan_search  # noqa: PLC0415
    from autodepth.trial.phases.parent import train_parent  # noqa: PLC0415

    torch.set_num_threads(1)
    request = SearchRequest(budget="1trials", settings=[f"data.train_images={batch * STEPS}"])
    ends: list[float] = []
    register_optimizer_step_post_hook(lambda *_: ends.append(time.process_time()))

    def told(_: object) -> None:
        print(json.dumps(np.diff(ends[-STEPS:]).tolist()), flush=True)
        sys.stdin.readline() or sys.exit()

    policy = Policy.from_dict({"train": {**TRAIN, "epochs": 10_000, "batch_size": batch}})
    train_parent(policy, plan_search(request).context, told)


def work_start(kind: str, folder: Path, told: Callable[[], object] = time.process_time) -> None:
    """Begin a search or a trial; tell CPU seconds of this process at its first step and end."""
    from torch.optim.optimizer import register_optimizer_step_post_hook  # noqa: PLC0415

    def end(*_: object) -> None:
        stack = traceback.extract_stack()
        if any(frame.filename.endswith("training/loop.py") for frame in stack):  # no timed step
            print(json.dumps(told()), flush=True)
            os._exit(0)

    register_optimizer_step_post_hook(end)
    if kind == "trial":
        from autodepth.cli.main import app  # noqa: PLC0415

        app(["trial", str(folder / "policy.yaml"), "--space", str(folder / "space.yaml")])
    searched(folder, 0, 1)


def work_calls(kind: str, folder: Path) -> None:
    """Do the same; tell how many Python functions were called, and how many modules are there."""
    calls = itertools.count()
    sys.setprofile(lambda _, event, __: next(calls) if event == "call" else None)
    work_start(kind, folder, lambda: (next(calls), len(sys.modules)))


def work_digest(kind: str, folder: Path) -> None:
    """Carry out a trial, or a search of four, by each seed; tell digests of what came of them."""
    from autodepth.policy.policy import Policy  # noqa: PLC0415
    from autodepth.service.search.requests import SearchRequest  # noqa: PLC0415
    from autodepth.service.search.search import plan_search  # noqa: PLC0415
    from autodepth.trial.run_trial import run_trial  # noqa: PLC0415

    policy = Policy.from_dict(
        {"p_L": 0.7, "branches_removed": 3, "fine_tune_epochs": 1, "train": TRAIN}
    )
    digests = []
    for seed in SEEDS:
        if kind == "search":
            front = searched(folder, seed, 4).front
            found: Any = [[p.trial, p.point.validation_loss, p.removed] for p in front]
        else:
            request = SearchRequest(space=folder / "space.yaml", budget="1trials", seed=seed)
            context = plan_search(request).context
            result = run_trial(policy, context, folder=folder, on_epoch=lambda _: None)
            found = [result.weights_sha256, result.removed, result.point.validation_loss]
        digests.append(hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16])
    print(json.dumps(digests))


def searched(folder: Path, seed: int, trials: int) -> Any:
    """Return what a search in this process came to."""
    from autodepth.service.search.requests import SearchRequest  # noqa: PLC0415
    from autodepth.service.search.search import carry_out_plan, plan_search  # noqa: PLC0415

    request = SearchRequest(
        space=folder / "space.yaml", budget=f"{trials}trials", seed=seed, runner="in-process"
    )
    return carry_out_plan(plan_search(request), request)


# What compares them.


class Checkout:
    """One checkout of the repository, and processes that work in it."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder / root.name
        self.folder.mkdir()
        (self.folder / "space.yaml").write_text(SPACE)
        (self.folder / "policy.yaml").write_text(json.dumps({"train": TRAIN}))
        home = {"AUTODEPTH_HOME": str(self.folder), "MLFLOW_TRACKING_URI": ""}
        paths = {"PYTHONPATH": str(root.resolve()), "OMP_NUM_THREADS": "1"}
        self._environment = {**os.environ, **home, **paths}
        self._commit = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]

    @property
    def commit(self) -> str:
        """What it is a checkout of."""
        return subprocess.run(
            self._commit, capture_output=True, text=True, check=True
        ).stdout.strip()

    def begin(self, *work: object) -> subprocess.Popen[str]:
        """Begin a process."""
        command = [sys.executable, __file__, "--work", *map(str, work)]
        return subprocess.Popen(
            command, env=self._environment, cwd=self.folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def told(self, *work: object) -> str:
        """Return the last line of what a process told that ended."""
        with self.begin(*work) as process:
            lines = process.communicate()[0].splitlines()
        return lines[-1]


def steps(checkouts: Sequence[Checkout], batch: int, turns: int) -> list[list[float]]:
    """Return, of each checkout, the median CPU seconds of a step by turn."""
    processes = [checkout.begin("step", batch) for checkout in checkouts]
    found: list[list[float]] = [[] for _ in checkouts]
    for turn in range(-1, turns):
        for process, medians in zip(processes, found, strict=True):
            assert process.stdout
            assert process.stdin
            if turn >= 0:
                process.stdin.write("\n")
                process.stdin.flush()
            median = statistics.median(json.loads(process.stdout.readline()))
            if turn >= 0:  # the first warms up
                medians.append(median)
    for process in processes:
        process.communicate()
    return found


def starts(checkouts: Sequence[Checkout], kind: str, turns: int) -> list[list[float]]:
    """Return, of each checkout, CPU seconds until the first step by turn."""
    found: list[list[float]] = [[] for _ in checkouts]
    for turn in range(turns):
        order = list(zip(checkouts, found, strict=True))
        for checkout, seconds in order if turn % 2 else reversed(order):
            seconds.append(float(checkout.told("start", kind, checkout.folder)))
    return found


def ratios(found: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Return the median of the ratios of pairs, and 95 % of the medians of pairs drawn again."""
    pairs = np.array(found[1]) / np.array(found[0])
    drawn = np.random.default_rng(0).choice(pairs, (2000, len(pairs)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return float(np.median(pairs)), float(low), float(high)


def table(told: dict[str, dict[str, Any]], about: str) -> str:
    """Return what was found as Markdown."""
    lines = [about, "", "| | pairs | before, ms | now, ms | now / before | 95 % |"]
    lines.append("|---" * 6 + "|")
    for name, found in told["rows"].items():
        before, now = (1000 * statistics.median(seconds) for seconds in found)
        ratio, low, high = ratios(found)
        shown = f"{before:,.1f} | {now:,.1f} | {ratio:.3f} | {low:.3f} to {high:.3f}"
        lines.append(f"| {name} | {len(found[0])} | {shown} |")
    lines += ["", "| | before | now | now / before |", "|---|---|---|---|"]
    for kind, (before, now) in told["calls"].items():
        for what, was, is_now in zip(("calls of Python", "modules"), before, now, strict=True):
            shown = f"{was:,} | {is_now:,} | {is_now / was:.3f}"
            lines.append(f"| {kind}, to its first step: {what} | {shown} |")
    lines += ["", "| digest of | before | now |", "|---|---|---|"]
    lines += [f"| {name} | {' | '.join(found)} |" for name, found in told["digests"].items()]
    return "\n".join([*lines, ""])


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))


def main() -> None:
    """Measure what is not there yet, and write results/tasks_cost.{md,json}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--now", type=Path, default=ROOT)
    parser.add_argument("--turns", type=int, default=40, help="of training")
    parser.add_argument("--starts", type=int, default=12)
    parser.add_argument("--to", type=Path, default=RESULT)
    args = parser.parse_args()
    kept = args.to.with_suffix(".json")
    told = {"rows": {}, "calls": {}, "digests": {}}
    if kept.exists():
        told |= json.loads(kept.read_text())
    with tempfile.TemporaryDirectory() as folder:
        checkouts = [Checkout(root, Path(folder)) for root in (args.before, args.now)]
        commits = [checkout.commit for checkout in checkouts]
        parts: dict[str, Callable[[], list[list[float]]]] = {
            **{f"step, batch {b}": partial(steps, checkouts, b, args.turns) for b in BATCHES},
            **{
                f"{k}, to its first step": partial(starts, checkouts, k, args.starts) for k in KINDS
            },
        }
        for name, measured in parts.items():
            if name not in told["rows"]:
                told["rows"][name] = measured()
                kept.write_text(json.dumps(told))
        for kind in KINDS:
            if kind not in told["calls"]:
                told["calls"][kind] = [
                    json.loads(c.told("calls", kind, c.folder)) for c in checkouts
                ]
                kept.write_text(json.dumps(told))
            if f"{kind}, seed {SEEDS[0]}" not in told["digests"]:
                both = [json.loads(c.told("digest", kind, c.folder)) for c in checkouts]
                for seed, *found in zip(SEEDS, *both, strict=True):
                    told["digests"][f"{kind}, seed {seed}"] = found
                kept.write_text(json.dumps(told))
    about = (
        f"Before: commit {commits[0]}, now: {commits[1]}. ResNet-20 on 8x8 digits, CPU seconds of "
        f"one process, one thread. Medians of turns of {STEPS - 1} steps, and of starts; the ratio "
        "is that of pairs that ran one after the other, with 95 % of medians of pairs drawn again. "
        f"{_cpu()}, torch {version('torch')}, Python {platform.python_version()}."
    )
    args.to.write_text(table(told, about))
    print(args.to.read_text())


WORK: dict[str, Callable[..., None]] = {
    "step": lambda batch: work_step(int(batch)),
    "start": lambda kind, folder: work_start(kind, Path(folder)),
    "calls": lambda kind, folder: work_calls(kind, Path(folder)),
    "digest": lambda kind, folder: work_digest(kind, Path(folder)),
}

if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        WORK[sys.argv[2]](*sys.argv[3:])
    else:
        main()
