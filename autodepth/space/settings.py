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


def _whole(meaning: str, least: int) -> SettingRule:
    return SettingRule(
        meaning=meaning,
        text=f"must be a whole number of at least {least}",
        allows=lambda value: is_whole(value) and int(value or 0) >= least,
        whole=True,
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

# By the name a point, a `when` and `--set` use. The order is the order of the dimensions.
RULES: dict[str, SettingRule] = {
    "p_L": _number("survival probability of the last branch", _PROBABILITY),
    "decay_shape": _name("how survival falls with depth", "linear", "uniform", "power", "cosine"),
    "decay_power": _number("exponent of the power shape", _POSITIVE),
    "gate_mode": _name("what a branch is dropped for", "batch", "sample"),
    "compensation": _name("where dropping is compensated for", "test_time", "inverted"),
    THRESHOLD: _number(
        "branches whose loss of validation accuracy (a fraction) lies below it are removed; "
        "null removes none",
        _ANY,
        nullable=True,
    ),
    "fine_tune_epochs": _whole("passes over the training split after removal", 0),
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
