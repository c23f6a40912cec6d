"""How the learning rate moves from step to step."""

from __future__ import annotations

import math
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from autodepth.trial.training.config import TrainingConfig


def schedule_of(optimizer: Optimizer, config: TrainingConfig, *, steps: int) -> LRScheduler:
    """Return the schedule of a training of so many steps, its rate set for the first one."""
    if config.schedule == "one_cycle":
        return OneCycleLR(optimizer, config.learning_rate, total_steps=steps, cycle_momentum=False)
    if config.schedule == "constant":
        return LambdaLR(optimizer, lambda _: 1.0)
    share_of = {"wsd": wsd, "cosine": cosine}[config.schedule]
    return LambdaLR(optimizer, partial(share_of, config=config, steps=steps))


def wsd(step: int, *, config: TrainingConfig, steps: int) -> float:
    """Return the rate of a step as a share of the highest: warm-up, stable, decay."""
    epoch = steps // config.epochs
    falls_from = config.stable_epochs * epoch
    rising = (step + 1) / epoch
    falling = (steps - step) / (steps - falls_from)
    return max(0.0, min(1.0, rising, falling))


def cosine(step: int, *, config: TrainingConfig, steps: int) -> float:
    """Return the rate of a step as a share of the highest: up in a line, down in half a wave.

    Source: Loshchilov & Hutter 2017, arXiv 1608.03983, equation 5, without restarts.
    """
    warm = round(config.settings.warmup_share * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
