"""The part of the table of settings that says how networks are trained and fine-tuned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from autodepth.policy.setting import (
    NOT_NEGATIVE,
    POSITIVE,
    PROBABILITY,
    SHARE,
    Acts,
    Phase,
    Span,
    check_settings,
    named,
    number,
    whole,
)

Schedule = Literal["one_cycle", "constant", "wsd", "cosine"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
OptimizerName = Literal["sgd", "adamw"]
OPTIMIZERS: tuple[OptimizerName, ...] = get_args(OptimizerName)
Decaying = Literal["all", "matrices"]
AutoAugment = Literal["none", "trivial", "rand"]
AUTO_AUGMENTS: tuple[AutoAugment, ...] = get_args(AutoAugment)
ClassWeights = Literal["none", "balanced"]

_ALWAYS: Acts = lambda _: True  # noqa: E731
_PARENT: Mapping[Phase, Acts] = {"parent": _ALWAYS}
_FINE_TUNE: Mapping[Phase, Acts] = {"fine_tune": _ALWAYS}
_TRAINING: Mapping[Phase, Acts] = {"parent": _ALWAYS, "fine_tune": _ALWAYS}
_FRACTION: Span = ("a number in [0, 1]", lambda number: 0 <= number <= 1)
_FROM_THE_START = (
    "epochs", "batch_size", "learning_rate", "fine_tune_learning_rate", "momentum",
    "weight_decay", "label_smoothing", "precision",
)  # fmt: skip


def _where(acts: Acts) -> Mapping[Phase, Acts]:
    """Return that a setting shapes all training, in policies where it makes a difference."""
    return {"parent": acts, "fine_tune": acts}


def _where_changed(name: str) -> Mapping[Phase, Acts]:
    """Return that a setting shapes all training, where it is not at its default.

    So what came later leaves the keys of earlier trainings as they are.
    """
    return _where(lambda policy: getattr(policy.train, name) != getattr(TrainingSettings, name))


def _where_scheduled(schedule: Schedule) -> Mapping[Phase, Acts]:
    """Return that a setting shapes what is trained by a schedule."""
    return {
        "parent": lambda policy: policy.train.schedule == schedule,
        "fine_tune": lambda policy: policy.fine_tune_schedule == schedule,
    }


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a network is trained and fine-tuned; docs/training.md says what becomes of what."""

    epochs: int = whole(20, 0, "passes before removal; 0 starts from the given weights", _PARENT)
    batch_size: int = whole(128, 2, "images per step", _TRAINING)
    learning_rate: float = number(0.1, POSITIVE, "highest rate of the schedule", _TRAINING)
    schedule: Schedule = named(
        "one_cycle",
        SCHEDULES,
        "how the rate moves: one_cycle; constant; wsd, which warms up, stays, and decays, so "
        "that longer training goes on from shorter; or cosine, after a warm-up",
        {"parent": lambda policy: policy.train.schedule != "one_cycle"},
    )
    decay_share: float = number(
        0.2,
        PROBABILITY,
        "share of the epochs in which the rate of wsd decays",
        _where_scheduled("wsd"),
    )
    # A small rate is the classic way to make pruning look worse than it is (Le & Hua 2021).
    fine_tune_learning_rate: float | None = number(
        None,
        POSITIVE,
        "highest rate while fine-tuning; null takes learning_rate",
        _FINE_TUNE,
        nullable=True,
    )
    momentum: float = number(0.9, SHARE, "momentum of SGD, first beta of AdamW", _TRAINING)
    weight_decay: float = number(5e-4, NOT_NEGATIVE, "weight decay", _TRAINING)
    label_smoothing: float = number(0.0, SHARE, "label smoothing", _TRAINING, of_labels=True)
    precision: Precision = named("auto", PRECISIONS, "what numbers to train in", _TRAINING)
    elastic: float = number(
        0.0,
        _FRACTION,
        "share of training, at its end, whose steps train the whole network on labels and one "
        "with random depth on the whole one's scores",
        {"parent": lambda policy: policy.drops_branches and policy.train.elastic > 0},
    )
    optimizer: OptimizerName = named(
        "sgd",
        OPTIMIZERS,
        "what moves the weights: sgd with Nesterov momentum, or adamw, which needs a far smaller "
        "learning_rate",
        _where_changed("optimizer"),
    )
    beta2: float = number(
        0.999, SHARE, "second beta of AdamW", _where(lambda p: p.train.optimizer == "adamw")
    )
    weight_decay_on: Decaying = named(
        "all",
        get_args(Decaying),
        "which weights decay: all, or matrices, which leaves out norms, biases and all else of "
        "one dimension",
        _where_changed("weight_decay_on"),
    )
    warmup_share: float = number(
        0.05,
        SHARE,
        "share of the steps in which the rate of cosine rises",
        _where_scheduled("cosine"),
    )
    clip_norm: float | None = number(
        None,
        POSITIVE,
        "what the norm of a step's gradients is scaled down to where it is above; null never does",
        _where_changed("clip_norm"),
        nullable=True,
    )
    ema: float = number(
        0.0,
        SHARE,
        "decay of a running mean of the weights over steps, which is what is measured, pruned "
        "and kept; 0 takes the last weights",
        _where_changed("ema"),
    )
    mixup: float = number(
        0.0,
        NOT_NEGATIVE,
        "alpha of the shares in which images and labels of a batch are mixed by pairs; 0 mixes "
        "none",
        _where_changed("mixup"),
        of_labels=True,
    )
    cutmix: float = number(
        0.0,
        NOT_NEGATIVE,
        "alpha of the shares of an image that a box of another one takes; beside mixup each batch "
        "gets one of the two",
        _where_changed("cutmix"),
        of_labels=True,
    )
    auto_augment: AutoAugment = named(
        "none",
        AUTO_AUGMENTS,
        "operations drawn for each image: trivial is TrivialAugment, rand RandAugment",
        _where_changed("auto_augment"),
        of_labels=True,
    )
    augment_magnitude: int = whole(
        9,
        0,
        "how strong the operations of RandAugment are",
        _where(lambda policy: policy.train.auto_augment == "rand"),
        most=30,
    )
    erasing: float = number(
        0.0,
        _FRACTION,
        "share of images of which a random box is erased",
        _where_changed("erasing"),
        of_labels=True,
    )
    class_weights: ClassWeights = named(
        "none",
        get_args(ClassWeights),
        "what each class counts in the loss: the same, or balanced by how rare it is in training",
        _where_changed("class_weights"),
        of_labels=True,
    )

    def __post_init__(self) -> None:
        check_settings(self, "train.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values by name; settings that came later are left out at their defaults."""
        return {
            item.name: value
            for item in fields(self)
            if (value := getattr(self, item.name)) != item.default or item.name in _FROM_THE_START
        }
