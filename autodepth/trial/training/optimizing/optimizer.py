"""The optimizer of a training, as its settings say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from autodepth.policy.training_settings import TrainingSettings


def optimizer_of(module: nn.Module, settings: TrainingSettings, learning_rate: float) -> Optimizer:
    """Return an optimizer over all parameters of a network.

    Branches that a step drops have no gradient, so neither optimizer moves them, their memory or
    their count of steps.

    Args:
        module: the network.
        settings: which optimizer, its betas and its decay.
        learning_rate: highest rate of the schedule.
    """
    groups, decay = _groups(module.parameters(), settings), settings.weight_decay
    if settings.optimizer == "adamw":
        betas = (settings.momentum, settings.beta2)
        return AdamW(groups, lr=learning_rate, betas=betas, weight_decay=decay)
    return SGD(
        groups,
        lr=learning_rate,
        momentum=settings.momentum,
        weight_decay=decay,
        nesterov=settings.momentum > 0,
    )


def _groups(parameters: Iterable[nn.Parameter], settings: TrainingSettings) -> Any:
    """Return the parameters, those without decay in a group of their own."""
    every = list(parameters)
    if settings.weight_decay_on == "all":
        return every
    return [
        {"params": [p for p in every if p.ndim > 1]},
        {"params": [p for p in every if p.ndim <= 1], "weight_decay": 0.0},
    ]
