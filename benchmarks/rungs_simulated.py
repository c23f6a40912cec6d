"""What rungs on two objectives save and lose in a study whose learning curves are known.

A simulated study: 200 random policies for a ResNet-56, fine-tuned for 4 to 16 epochs by a one-cycle
schedule, four workers, every accuracy counted on 500 validation images. Each seed is run to the
end, with rungs, and with ASHA on accuracy alone, on the same curves and the same noise. No torch.

Dominated work is all epochs of the trials that are off the final front when everything runs to the
end; saved is the share of them that was not run. Front and hypervolume are those of the true final
accuracies, up to accuracy 0.8 and 100 % of the MACs, as in search_spaces/cifar10_resnet56.yaml.

    python benchmarks/rungs_simulated.py        # 20 seeds, about a minute

Writes benchmarks/results/rungs_simulated.{json,md}.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from autodepth.front.dominance import pareto_front
from autodepth.front.hypervolume import hypervolume
from autodepth.front.objective import Objective
from autodepth.search.rungs import Rungs

RESULTS = Path(__file__).parent / "results"
MACS = Objective(name="macs", goal="minimize", reference=1.0)  # share of the unpruned network's
ACCURACY = Objective(name="validation_accuracy", goal="maximize", reference=0.8)
LOWER = replace(ACCURACY, reference=0.5)
AT = (0.25, 0.5)
SAVE, LOSE = 0.6, 0.01  # what is asked for


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What a simulated study is like.

    Args:
        trials: how many policies are tried.
        images: of the validation split; 0 takes the noise away.
        spread: standard deviation of log error between policies of equal cost.
        crossing: how far curves cross, 1 as usual: the highest learning rate then has 1.6 times
            its final error while the rate is high, and ends 8 % better than the lowest.
        learning: how far the sampler learns: at 1 the last policies are all good, and alike.
        epochs: shortest and longest fine-tuning.
        workers: trials at the same time.
    """

    trials: int = 200
    images: int = 500
    spread: float = 0.35
    crossing: float = 1.0
    learning: float = 0.0
    epochs: tuple[int, int] = (4, 16)
    workers: int = 4


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


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A trial as it would run: MACs as a share, and accuracy after each epoch."""

    cost: float
    true: tuple[float, ...]
    measured: tuple[float, ...]

    @property
    def epochs(self) -> int:
        """Epochs of fine-tuning."""
        return len(self.true)


def draw_curves(condition: Condition, seed: int) -> list[Curve]:
    """Draw the curves of a study, in the order they are tried."""
    generator = np.random.default_rng(seed)
    return [
        _curve(condition, generator, place / condition.trials) for place in range(condition.trials)
    ]


def _curve(condition: Condition, generator: np.random.Generator, progress: float) -> Curve:
    """Draw one policy and what comes of it; all that acts, acts on the log of the error."""
    blocks = int(generator.integers(0, 22))  # of 27, 3.6 % of the MACs each
    sparsity = generator.choice([0.0, 0.125, 0.25, 0.375, 0.5], p=[0.5] + [0.125] * 4)
    cost = float((1 - 0.036 * blocks) * (1 - 0.9 * sparsity))
    low, high = np.log(condition.epochs)
    epochs = round(float(np.exp(generator.uniform(low, high))))
    rate = generator.uniform()  # 0 the lowest, 1 the highest learning rate
    learned = condition.learning * progress
    policy = condition.spread * (generator.normal() * (1 - learned) - 1.2 * learned)
    # 5.8 % for the unpruned network; more where less is left, where the policy is bad, and where
    # the fine-tuning is too short for its rate.
    end = 0.058 * math.exp(policy + 0.05 * generator.normal()) * cost**-0.32
    end *= (1 + 1.2 * math.exp(-epochs / (6 - 3 * rate))) * (1 - 0.08 * rate)
    end = min(end, 0.85)
    damage = 0.9 * (1 - math.exp(-5 * (1 - cost) * math.exp(policy)))
    start = min(end + damage, 0.9)
    pace = generator.uniform(0.6, 2.5)  # epochs in which the first loss shrinks to a third
    plateau = condition.crossing * (0.05 + 0.45 * rate) * math.exp(0.2 * generator.normal())
    true, measured = [], []
    for epoch in range(1, epochs + 1):
        share = epoch / epochs
        high_rate = 0.5 * (1 + math.cos(math.pi * max(0.0, (share - 0.3) / 0.7)))
        error = math.log(end) + math.log(start / end) * math.exp(-epoch / pace) * (1 - share)
        error += high_rate * (plateau + 0.1 * condition.crossing * generator.normal())
        true.append(1 - min(0.9, math.exp(error)))
        wrong = generator.binomial(condition.images or 1, 1 - true[-1]) / (condition.images or 1)
        measured.append(1 - wrong if condition.images else true[-1])
    return Curve(cost=cost, true=tuple(true), measured=tuple(measured))


class Scheduler(Protocol):
    """Says after each epoch whether a trial is stopped."""

    def stops(self, trial: int, epoch: int, curve: Curve) -> bool:
        """Take in the accuracy after an epoch."""


class RunToEnd:
    """Stops nothing."""

    def stops(self, trial: int, epoch: int, curve: Curve) -> bool:  # noqa: ARG002
        """Stop nothing."""
        return False


class TwoObjectives:
    """autodepth's rungs; the cost is that of the pruned network."""

    def __init__(self, rungs: Rungs) -> None:
        self.rungs = rungs

    def stops(self, trial: int, epoch: int, curve: Curve) -> bool:
        """Pass the epoch on."""
        verdict = self.rungs.report(
            trial, "fine_tune", epoch, curve.epochs, curve.measured[epoch - 1], curve.cost
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
    "rungs, rank alone": lambda: TwoObjectives(Rungs(at=AT, keep=1 / 3, margin=0.0)),
    "rungs, margin alone": lambda: TwoObjectives(Rungs(at=AT, keep=0.0)),
}


@dataclass(kw_only=True)
class Run:
    """What a study did: epochs by trial, and who came to the end after how many epochs in all."""

    ran: list[int]
    completed: dict[int, int] = field(default_factory=dict)


def run(curves: Sequence[Curve], scheduler: Scheduler, workers: int) -> Run:
    """Run a study on workers that take the next trial when they are free.

    An epoch takes a time of its own and one that grows with the MACs.
    """
    done, waiting = Run(ran=[0] * len(curves)), iter(range(len(curves)))
    # Trials by the time their next epoch ends; of equal times the earlier trial comes first.
    ends: list[tuple[float, int]] = []
    for trial in islice(waiting, workers):
        heapq.heappush(ends, (_seconds(curves[trial]), trial))
    while ends:
        now, trial = heapq.heappop(ends)
        curve = curves[trial]
        done.ran[trial] += 1
        stopped = scheduler.stops(trial, done.ran[trial], curve)
        if done.ran[trial] == curve.epochs:
            done.completed[trial] = sum(done.ran)
        elif not stopped:
            heapq.heappush(ends, (now + _seconds(curve), trial))
            continue
        for following in islice(waiting, 1):
            heapq.heappush(ends, (now + _seconds(curves[following]), following))
    return done


def _seconds(curve: Curve) -> float:
    return 0.2 + curve.cost


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a scheduler saved and lost on one seed; shares.

    Args:
        saved: of the dominated work, see the top of the file.
        saved_after: of the part that lies after the first rung, which is all a rung can save.
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
        smallest=min(curves[trial].cost for trial in front & set(done.completed)),
    )


def _lost(
    points: Sequence[tuple[float, float]], kept: Sequence[int] | dict[int, int], accuracy: Objective
) -> float:
    objectives = [accuracy, MACS]
    return 1 - hypervolume([points[trial] for trial in kept], objectives) / hypervolume(
        points, objectives
    )


def measure(
    condition: Condition, seeds: Sequence[int], schedulers: Sequence[str]
) -> dict[str, list[Score]]:
    """Run every scheduler on every seed."""
    scores: dict[str, list[Score]] = {name: [] for name in schedulers}
    for seed in seeds:
        curves = draw_curves(condition, seed)
        plain = run(curves, RunToEnd(), condition.workers)
        for name in schedulers:
            done = run(curves, SCHEDULERS[name](), condition.workers)
            scores[name].append(score(curves, done, plain))
    return scores


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=20)
    arguments = parser.parse_args()
    rows = []
    for name, condition in CONDITIONS.items():
        # What each part of the rule is good for is asked once.
        schedulers = list(SCHEDULERS) if name == "usual" else ["rungs", "accuracy alone"]
        scores = measure(condition, range(arguments.seeds), schedulers)
        rows += [_row(name, scheduler, each) for scheduler, each in scores.items()]
    text = _table(rows, arguments.seeds)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "rungs_simulated.md").write_text(text)
    content = {
        "seeds": arguments.seeds,
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
