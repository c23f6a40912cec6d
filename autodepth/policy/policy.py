"""Policy: everything one trial is told to do."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from autodepth.errors import InputError, did_you_mean
from autodepth.policy.survival import (
    COMPENSATIONS,
    DECAY_SHAPES,
    GATE_MODES,
    Compensation,
    DecayShape,
    GateMode,
    check_choice,
    check_survival_prob,
)

ThresholdScope = Literal["network", "stage", "block"]
Precision = Literal["auto", "float32", "bfloat16"]
THRESHOLD_SCOPES: tuple[ThresholdScope, ...] = get_args(ThresholdScope)
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


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One choice of everything: how to train, what to remove, how to recover.

    Args:
        survival_prob_last: p_L in (0, 1]; 1 trains the plain network.
        decay_shape: how p_l falls with depth.
        decay_power: exponent of the `power` shape, above 0; ignored by the others.
        gate_mode: whether a branch is dropped for a whole `batch` or for each `sample` by itself.
        compensation: `test_time` (branches scaled by p_l, then folded) or `inverted` (by 1/p_l in
            training).
        sensitivity_threshold: branches whose sensitivity (validation accuracy lost when the
            branch is bypassed, a fraction, may be negative) lies below their threshold are
            removed. One value per network, stage or block, as `threshold_per` says; None
            removes nothing.
        threshold_per: what each threshold speaks for.
        fine_tune_epochs: passes over the training split after removal, at least 0.
        train: training settings.
    """

    survival_prob_last: float = 1.0
    decay_shape: DecayShape = "linear"
    decay_power: float = 1.0
    gate_mode: GateMode = "batch"
    compensation: Compensation = "test_time"
    sensitivity_threshold: tuple[float, ...] | None = None
    threshold_per: ThresholdScope = "network"
    fine_tune_epochs: int = 0
    train: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        check_survival_prob(self.survival_prob_last)
        check_choice("decay_shape", self.decay_shape, DECAY_SHAPES)
        check_choice("gate_mode", self.gate_mode, GATE_MODES)
        check_choice("compensation", self.compensation, COMPENSATIONS)
        check_choice("threshold_per", self.threshold_per, THRESHOLD_SCOPES)
        if not self.decay_power > 0:
            raise InputError(f"decay_power must be above 0, but got {self.decay_power}")
        if self.fine_tune_epochs < 0:
            raise InputError(
                f"fine_tune_epochs must be at least 0, but got {self.fine_tune_epochs}"
            )
        thresholds = self.sensitivity_threshold
        if thresholds is not None and (not thresholds or any(math.isnan(t) for t in thresholds)):
            raise InputError(f"sensitivity_threshold must hold numbers, but got {thresholds}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values under the names of a space file (`p_L`, not the long name)."""
        values = asdict(self)
        thresholds = self.sensitivity_threshold
        values["sensitivity_threshold"] = None if thresholds is None else list(thresholds)
        return {"p_L": values.pop("survival_prob_last"), **values}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Policy:
        """Read what `to_dict` wrote.

        Raises:
            InputError: a name is unknown or a value outside its range.
        """
        values = dict(values)
        if "p_L" in values:
            values["survival_prob_last"] = values.pop("p_L")
        train = values.pop("train", {})
        _check_names(values, cls, "")
        _check_names(train, TrainingSettings, "train.")
        if values.get("sensitivity_threshold") is not None:
            values["sensitivity_threshold"] = tuple(values["sensitivity_threshold"])
        return cls(train=TrainingSettings(**train), **values)


def _check_names(values: dict[str, Any], owner: type, prefix: str) -> None:
    known = [item.name for item in fields(owner)]
    for name in values:
        if name not in known:
            raise InputError(
                f"unknown policy setting {prefix + name!r}" + did_you_mean(name, known)
            )
