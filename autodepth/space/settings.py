"""What each setting of a policy may be.

The policy room holds the same rules for one policy. They are told here again, as a table, so that
a space file is judged whole and early, both ends of a range included; a test keeps the two equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from autodepth.errors import did_you_mean
from autodepth.space.values import Scalar, is_number, is_whole, shown

THRESHOLD = "sensitivity_threshold"
GOALS = (THRESHOLD, "branches_removed", "macs_target", "branches")
"""Settings that say how much goes; a policy has one at most."""


Span: TypeAlias = tuple[str, Callable[[float], bool]]
"""What numbers are called and which they are."""


@dataclass(frozen=True, kw_only=True)
class SettingRule:
    """One setting of a policy.

    Args:
        meaning: what it is, for editors.
        text: what a value must be, `must ...`.
        allows: whether a value that is not None may be taken.
        choices: the values by name, if it takes names.
        whole: whether it takes whole numbers only.
        nullable: whether null may be taken.
    """

    meaning: str
    text: str
    allows: Callable[[Scalar], bool]
    choices: tuple[str, ...] = ()
    whole: bool = False
    nullable: bool = False

    def complaint(self, value: object) -> str | None:
        """Return what is wrong with a value, or None."""
        if value is None and self.nullable:
            return None
        if isinstance(value, float | int | str) and self.allows(value):
            return None
        text = f"{self.text}, but got {shown(value)}"
        return text + did_you_mean(value, self.choices) if isinstance(value, str) else text


def _number(meaning: str, span: Span, *, nullable: bool = False) -> SettingRule:
    kind, within = span
    return SettingRule(
        meaning=meaning,
        text=f"must be {kind}{' or null' if nullable else ''}",
        allows=lambda value: is_number(value) and within(float(value or 0)),
        nullable=nullable,
    )


def _whole(meaning: str, least: int, *, nullable: bool = False) -> SettingRule:
    return SettingRule(
        meaning=meaning,
        text=f"must be a whole number of at least {least}{' or null' if nullable else ''}",
        allows=lambda value: is_whole(value) and int(value or 0) >= least,
        whole=True,
        nullable=nullable,
    )


def _name(meaning: str, *choices: str) -> SettingRule:
    return SettingRule(
        meaning=meaning,
        text=f"must be one of {', '.join(choices)}",
        allows=lambda value: value in choices,
        choices=choices,
    )


_ANY: Span = ("a finite number", math.isfinite)
_PROBABILITY: Span = ("a number in (0, 1]", lambda number: 0 < number <= 1)
_SHARE: Span = ("a number in [0, 1)", lambda number: 0 <= number < 1)
_POSITIVE: Span = ("a number above 0", lambda number: number > 0)
_NOT_NEGATIVE: Span = ("a number of at least 0", lambda number: number >= 0)

_TEMPERATURE: Span = ("a number of at least 1", lambda number: number >= 1)
_TARGET: Span = ("a number in (0, 1]", lambda number: 0 < number <= 1)

# By the name a point, a `when` and `--set` use. The order is the order of the dimensions.
RULES: dict[str, SettingRule] = {
    "p_L": _number("survival probability of the last branch", _PROBABILITY),
    "decay_shape": _name(
        "how survival falls with depth",
        *("linear", "uniform", "power", "cosine", "step", "sensitivity"),
    ),
    "decay_power": _number("exponent of the power shape", _POSITIVE),
    "depth_schedule": _name(
        "how p_L moves while training",
        *("constant", "ramp", "early_off", "late_on", "progressive"),
    ),
    "depth_schedule_cutoff": _number("share of training the schedule turns at", _TARGET),
    "gate_mode": _name("what a branch is dropped for", "batch", "sample"),
    "compensation": _name("where dropping is compensated for", "test_time", "inverted"),
    "criterion": _name(
        "what a branch's sensitivity is",
        *("ablation_accuracy", "ablation_loss", "block_influence", "magnitude", "bn_scale"),
        *("taylor", "norm_ratio", "random", "evenly_spaced"),
    ),
    THRESHOLD: _number(
        "branches whose sensitivity, in means of the network's branches, lies below it are "
        "removed; null removes none",
        _ANY,
        nullable=True,
    ),
    "branches_removed": _whole("how many branches go, in place of a threshold", 0, nullable=True),
    "macs_target": _number(
        "share of the MACs left when no more branches go, in place of a threshold",
        _TARGET,
        nullable=True,
    ),
    "removal": _name(
        "whether branches go at once, step by step, or with fine-tuning between",
        *("one_shot", "greedy", "iterative"),
    ),
    "removal_step": _whole("branches removed per step, if not at once", 1),
    "between_epochs": _whole("passes after each step of iterative removal", 1),
    "filter_sparsity": _number("share of each branch's inner channels to take out", _SHARE),
    "weight_sparsity": _number("share of all weights to set to zero", _SHARE),
    "least_per_stage": _whole("branches that stay in each stage at least; 0 lets it be emptied", 0),
    "recalibration_batches": _whole("batches to measure batch statistics on after removal", 0),
    "fine_tune_epochs": _whole("passes over the training split after removal", 0),
    "fine_tune_schedule": _name("the rate while fine-tuning", "one_cycle", "constant"),
    "fine_tune_p_L": _number("survival probability of the last branch left", _PROBABILITY),
    "distillation": _number("weight of the parent's soft scores in fine-tuning", _SHARE),
    "distillation_temperature": _number("of both softmaxes", _TEMPERATURE),
    "patience": _whole(
        "epochs of fine-tuning without a better validation loss; null is no limit",
        1,
        nullable=True,
    ),
    "train.epochs": _whole("passes before removal; 0 starts from the given weights", 0),
    "train.batch_size": _whole("images per step", 2),
    "train.learning_rate": _number("highest rate of the one-cycle schedule", _POSITIVE),
    "train.fine_tune_learning_rate": _number(
        "highest rate while fine-tuning; null takes learning_rate", _POSITIVE, nullable=True
    ),
    "train.momentum": _number("momentum of SGD", _SHARE),
    "train.weight_decay": _number("weight decay of SGD", _NOT_NEGATIVE),
    "train.label_smoothing": _number("label smoothing", _SHARE),
    "train.precision": _name("what numbers to train in", "auto", "float32", "bfloat16"),
}
