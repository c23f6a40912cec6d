"""How a network is trained and fine-tuned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from autodepth.errors import InputError

Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a network is trained and fine-tuned: SGD with Nesterov momentum, one-cycle rate.

    Args:
        epochs: passes over the training split before pruning; 0 starts from the given weights.
        batch_size: images per step.
        learning_rate: highest rate of the one-cycle schedule.
        fine_tune_learning_rate: the same for fine-tuning; None takes `learning_rate`, since a
            small rate is the classic way to make pruning look worse than it is (Le & Hua 2021).
        momentum: in [0, 1).
        weight_decay: at least 0.
        label_smoothing: in [0, 1).
        precision: `auto` takes bfloat16 autocast where the device computes in it natively.
    """

    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 0.1
    fine_tune_learning_rate: float | None = None
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        rate = self.fine_tune_learning_rate
        rules = (
            ("epochs", self.epochs >= 0, "must be at least 0"),
            ("batch_size", self.batch_size >= 2, "must be at least 2"),
            ("learning_rate", 0 < self.learning_rate < math.inf, "must be above 0"),
            ("fine_tune_learning_rate", rate is None or 0 < rate < math.inf, "must be above 0"),
            ("momentum", 0 <= self.momentum < 1, "must be in [0, 1)"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "must be at least 0"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "must be in [0, 1)"),
            ("precision", self.precision in PRECISIONS, f"must be one of {', '.join(PRECISIONS)}"),
        )
        for name, holds, rule in rules:
            if not holds:
                raise InputError(f"train.{name} {rule}, but got {getattr(self, name)!r}")
