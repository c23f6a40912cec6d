"""A simulated study: known learning curves, asynchronous workers, a scheduler that may stop trials.

What `rungs_simulated.py` runs. One-cycle fine-tunings of random policies for a pruned ResNet-56;
every draw comes from the seed, so all schedulers meet the same curves and the same noise. The
constants are assumptions; the first epochs were shaped after recorded fine-tunings.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import numpy as np


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
    """

    trials: int = 200
    images: int = 500
    spread: float = 0.35
    crossing: float = 1.0
    learning: float = 0.0
    epochs: tuple[int, int] = (4, 16)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A trial as it would run: MACs as a share, learning rate, and accuracy after each epoch."""

    cost: float
    rate: float
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
    rate = float(generator.uniform())  # 0 is 0.01, 1 is 0.1, log uniform between
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
    return Curve(cost=cost, rate=10 ** (rate - 2), true=tuple(true), measured=tuple(measured))


class Scheduler(Protocol):
    """Says after each epoch whether a trial is stopped."""

    def stops(self, trial: int, epoch: int, curve: Curve) -> bool:
        """Take in the accuracy after an epoch."""


class RunToEnd:
    """Stops nothing."""

    def stops(self, trial: int, epoch: int, curve: Curve) -> bool:  # noqa: ARG002
        """Stop nothing."""
        return False


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
