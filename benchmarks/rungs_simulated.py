"""What rungs on two objectives save and lose in studies whose learning curves are known.

A study of `simulated_study.py`: 200 random policies for a ResNet-56, fine-tuned for 4 to 16 epochs
by a one-cycle schedule, four workers, accuracies counted on 500 validation images. Each is run to
the end, with rungs, and with ASHA on accuracy alone, on the same curves and the same noise.

Dominated work is all epochs of the trials that are off the final front when everything runs to the
end; saved is the share of them that was not run. Front and hypervolume are those of the true final
accuracies, up to accuracy 0.8 and 100 % of the MACs, as in search_spaces/cifar10_resnet56.yaml.
The defaults of `Rungs` were chosen on seeds 100 to 139 of the usual condition; seeds 0 to 19 are
reported. Last come recorded curves of 110 real fine-tunings, in 20 orders; there the accuracies
as measured stand for the true ones, which nobody knows.

    python benchmarks/rungs_simulated.py        # 20 seeds, about a minute

Writes benchmarks/results/rungs_simulated.{json,md}.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from simulated_study import Condition, Curve, Run, RunToEnd, Scheduler, draw_curves, run

from autodepth.front.dominance import pareto_front
from autodepth.front.hypervolume import hypervolume
from autodepth.front.objective import Objective
from autodepth.study.stopping.rungs import Rungs

RESULTS = Path(__file__).parent / "results"
RECORDED = RESULTS / "fine_tunings_digits.json"  # says itself what it holds
MACS = Objective(name="macs", goal="minimize", reference=1.0)  # share of the unpruned network's
ACCURACY = Objective(name="validation_accuracy", goal="maximize", reference=0.8)
LOWER = replace(ACCURACY, reference=0.5)
AT = (0.25, 0.5)
WORKERS = 4
SAVE, LOSE = 0.6, 0.01  # what is asked for
CONDITIONS = {
    "usual": Condition(),
    "no noise": Condition(images=0),
    "200 images": Condition(images=200),
    "curves hardly cross": Condition(crossing=0.3),
    "curves cross twice as far": Condition(crossing=2.0),
    "policies alike": Condition(spread=0.2),
    "sampler learns": Condition(learning=0.7),
    "40 trials": Condition(trials=40),
}


class TwoObjectives:
    """autodepth's rungs; the cost is that of the pruned network.

    Args:
        rungs: judge by these.
        rate: whether they are told the learning rate.
    """

    def __init__(self, rungs: Rungs, *, rate: bool = True) -> None:
        self.rungs, self.rate = rungs, rate

    def stops(self, trial: int, epoch: int, curve: Curve) -> bool:
        """Pass the epoch on."""
        verdict = self.rungs.report(
            trial,
            "fine_tune",
            epoch,
            curve.epochs,
            curve.measured[epoch - 1],
            curve.cost,
            rate=curve.rate if self.rate else 1.0,
        )
        return verdict is not None and verdict.stop


class AccuracyAlone:
    """Asynchronous successive halving on accuracy, as tuners offer it: the best third goes on.

    Source: Li et al. 2020, arXiv 1810.05934, in the variant that stops and never resumes.
    """

    def __init__(self, keep: float = 1 / 3) -> None:
        self.keep = keep
        self.seen: dict[float, list[float]] = {share: [] for share in AT}

    def stops(self, trial: int, epoch: int, curve: Curve) -> bool:  # noqa: ARG002
        """Compare with what was seen at the rung."""
        shares = [s for s in AT if math.ceil(s * curve.epochs) == epoch < curve.epochs]
        for share in shares:
            accuracy, seen = curve.measured[epoch - 1], self.seen[share]
            seen.append(accuracy)
            ahead = sum(other > accuracy for other in seen)
            if len(seen) * self.keep >= 1 and ahead >= self.keep * len(seen):
                return True
        return False


SCHEDULERS: dict[str, Callable[[], Scheduler]] = {
    "rungs": lambda: TwoObjectives(Rungs(at=AT)),
    "accuracy alone": AccuracyAlone,
    "rungs, margin 1": lambda: TwoObjectives(Rungs(at=AT, margin=1.0)),
    "rungs, rate unknown": lambda: TwoObjectives(Rungs(at=AT), rate=False),
    "rungs, rank alone": lambda: TwoObjectives(Rungs(at=AT, keep=1 / 3, margin=0.0)),
    "rungs, margin alone": lambda: TwoObjectives(Rungs(at=AT, keep=0.0)),
}


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a scheduler saved and lost on one seed; shares.

    Args:
        saved: of the dominated work, see the top of the file.
        saved_after: of the part of it that lies after the first rung: all that can be saved.
        epochs: epochs not run, of all.
        lost: hypervolume lost, by true accuracies.
        lost_lower: the same up to accuracy 0.5.
        lost_measured: the same by accuracies as measured, where luck is lost too.
        lost_plain: by a study that runs trials to the end until as many epochs are spent.
        stopped: members of the front that were stopped.
        front: members of the front.
        smallest: MACs of the smallest member of the front that came to the end.
    """

    saved: float
    saved_after: float
    epochs: float
    lost: float
    lost_lower: float
    lost_measured: float
    lost_plain: float
    stopped: float
    front: float
    smallest: float


def score(curves: Sequence[Curve], done: Run, plain: Run) -> Score:
    """Compare a run with the one in which everything ran to the end."""
    true = [(curve.true[-1], curve.cost) for curve in curves]
    measured = [(curve.measured[-1], curve.cost) for curve in curves]
    front = set(pareto_front(true, [ACCURACY.goal, MACS.goal]))
    dominated = [trial for trial in range(len(curves)) if trial not in front]
    work = sum(curves[trial].epochs for trial in dominated)
    after = work - sum(math.ceil(AT[0] * curves[trial].epochs) for trial in dominated)
    saved = work - sum(done.ran[trial] for trial in dominated)
    spent, in_all = sum(done.ran), sum(curve.epochs for curve in curves)
    affordable = [trial for trial, epochs in plain.completed.items() if epochs <= spent]
    return Score(
        saved=saved / work,
        saved_after=saved / after,
        epochs=1 - spent / in_all,
        lost=_lost(true, done.completed, ACCURACY),
        lost_lower=_lost(true, done.completed, LOWER),
        lost_measured=_lost(measured, done.completed, ACCURACY),
        lost_plain=_lost(true, affordable, ACCURACY),
        stopped=len(front - set(done.completed)),
        front=len(front),
        smallest=min((curves[t].cost for t in front & set(done.completed)), default=1.0),
    )


def _lost(
    points: Sequence[tuple[float, float]], kept: Sequence[int] | dict[int, int], accuracy: Objective
) -> float:
    objectives = [accuracy, MACS]
    return 1 - hypervolume([points[trial] for trial in kept], objectives) / hypervolume(
        points, objectives
    )


def recorded_curves(seed: int) -> list[Curve]:
    """Return the curves of real fine-tunings in an order of the seed's."""
    trials = json.loads(RECORDED.read_text())["trials"]
    random.Random(seed).shuffle(trials)
    return [
        Curve(
            cost=trial["macs_share"],
            rate=trial["rate"],
            true=tuple(trial["accuracy"]),
            measured=tuple(trial["accuracy"]),
        )
        for trial in trials
    ]


def measure(studies: Iterable[list[Curve]], schedulers: Sequence[str]) -> dict[str, list[Score]]:
    """Run every scheduler on every study."""
    scores: dict[str, list[Score]] = {name: [] for name in schedulers}
    for curves in studies:
        plain = run(curves, RunToEnd(), WORKERS)
        for name in schedulers:
            done = run(curves, SCHEDULERS[name](), WORKERS)
            scores[name].append(score(curves, done, plain))
    return scores


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=20)
    arguments = parser.parse_args()
    seeds, rows = range(arguments.seeds), []
    studies: dict[str, list[list[Curve]]] = {
        name: [draw_curves(condition, seed) for seed in seeds]
        for name, condition in CONDITIONS.items()
    }
    studies["recorded"] = [recorded_curves(seed) for seed in seeds]
    for name, curves in studies.items():
        apart = name in {"usual", "recorded"}  # where the parts of the rule are looked at
        schedulers = list(SCHEDULERS) if apart else ["rungs", "accuracy alone"]
        for scheduler, scores in measure(curves, schedulers).items():
            rows.append(_row(name, scheduler, scores))
    text = _table(rows, arguments.seeds)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "rungs_simulated.md").write_text(text)
    content = {
        "seeds": arguments.seeds,
        "workers": WORKERS,
        "rungs": {"at": AT, **asdict(Rungs().rule)},
        "asked": {"saved": SAVE, "lost": LOSE},
        "conditions": {name: asdict(condition) for name, condition in CONDITIONS.items()},
        "versions": {"python": platform.python_version(), "numpy": version("numpy")},
        "rows": rows,
    }
    (RESULTS / "rungs_simulated.json").write_text(json.dumps(content, indent=2) + "\n")


def _row(condition: str, scheduler: str, scores: Sequence[Score]) -> dict[str, Any]:
    values = {each.name: [getattr(s, each.name) for s in scores] for each in fields(Score)}
    return {
        "condition": condition,
        "scheduler": scheduler,
        "mean": {name: statistics.fmean(each) for name, each in values.items()},
        "worst": {"saved": min(values["saved"]), "lost": max(values["lost"])},
        "by_seed": {name: values[name] for name in ("saved", "lost", "lost_measured")},
    }


def _table(rows: Sequence[dict[str, Any]], seeds: int) -> str:
    lines = [
        f"Rungs at 25 % and 50 % of each fine-tuning, {seeds} simulated studies each: means, and",
        "the worst study in brackets. Saved: epochs not run of trials that are off the final front",
        "when all runs to the end, as a share of all their epochs (after: of those after the first",
        "rung). Lost: hypervolume of the true final accuracies up to accuracy 0.8 and 100 % of the",
        "MACs (measured: of the accuracies as measured; plain: lost by a study without rungs that",
        f"may spend only as many epochs). Asked for: {SAVE:.0%} saved, at most {LOSE:.0%} lost.",
        "",
        "| condition | scheduler | saved % | after % | lost % | measured % | plain % "
        "| front stopped | smallest, % of MACs | met |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        mean, worst = row["mean"], row["worst"]
        met = mean["saved"] >= SAVE and mean["lost"] <= LOSE
        lines.append(
            f"| {row['condition']} | {row['scheduler']} "
            f"| {100 * mean['saved']:.1f} ({100 * worst['saved']:.1f}) "
            f"| {100 * mean['saved_after']:.1f} "
            f"| {100 * mean['lost']:.2f} ({100 * worst['lost']:.2f}) "
            f"| {100 * mean['lost_measured']:.2f} | {100 * mean['lost_plain']:.1f} "
            f"| {mean['stopped']:.1f} of {mean['front']:.1f} | {100 * mean['smallest']:.1f} "
            f"| {'yes' if met else 'no'} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
