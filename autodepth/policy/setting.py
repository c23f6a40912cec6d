"""One setting of a policy: what it means, what it may be, which phases of a trial it shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Literal, TypeAlias

from autodepth.errors import InputError, did_you_mean
from autodepth.policy.values import Scalar, is_number, is_whole, shown

Phase = Literal["parent", "branches", "pruning", "fine_tune"]
"""What a setting can shape: the parent, which branches go, how the rest is cut, recovery."""
Acts: TypeAlias = Callable[[Any], bool]
"""Whether a setting of a policy makes a difference to a phase."""
Span: TypeAlias = tuple[str, Callable[[float], bool]]
"""What numbers are called and which they are."""


FINITE: Span = ("a finite number", math.isfinite)
PROBABILITY: Span = ("a number in (0, 1]", lambda number: 0 < number <= 1)
SHARE: Span = ("a number in [0, 1)", lambda number: 0 <= number < 1)
POSITIVE: Span = ("a number above 0", lambda number: 0 < number < math.inf)
NOT_NEGATIVE: Span = ("a number of at least 0", lambda number: 0 <= number < math.inf)
FROM_ONE: Span = ("a number of at least 1", lambda number: 1 <= number < math.inf)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting of a policy.

    Args:
        meaning: what it is, for editors and the reference page.
        text: what a value must be, `must ...`.
        allows: whether a value that is not None may be taken.
        shapes: the phases of a trial it shapes, and whether it does so in a given policy.
        choices: the values by name, if it takes names.
        whole: whether it takes whole numbers only.
        nullable: whether null may be taken.
        many: whether a policy holds a tuple of such values.
        by_branch: whether it holds some by branch number: a mapping in files, pairs in a policy.
        searched: whether a space file may give it a range.
        of_labels: whether it is for images with one label each, and has no other value than its
            default where something else is learned.
        name: in files, where it differs from the policy's attribute.
    """

    meaning: str
    text: str
    allows: Callable[[Scalar], bool]
    shapes: Mapping[Phase, Acts]
    choices: tuple[str, ...] = ()
    whole: bool = False
    nullable: bool = False
    many: bool = False
    by_branch: bool = False
    searched: bool = True
    of_labels: bool = False
    name: str = ""

    def complaint(self, value: object) -> str | None:
        """Return what is wrong with one value, or None."""
        if value is None and self.nullable:
            return None
        if isinstance(value, float | int | str) and self.allows(value):
            return None
        text = f"{self.text}, but got {shown(value)}"
        return text + did_you_mean(value, self.choices) if isinstance(value, str) else text

    def complaint_of_policy(self, value: object) -> str | None:
        """Return what is wrong with what a policy holds, a tuple where it holds many; or None."""
        if self.by_branch:
            return self._complaint_by_branch(value)
        if not self.many:
            return self.complaint(value)
        if value is None and self.nullable:
            return None
        if not isinstance(value, tuple) or None in value:
            return f"{self.text}, or a list of such, but got {shown(value)}"
        return next((found for item in value if (found := self.complaint(item))), None)

    def _complaint_by_branch(self, value: object) -> str | None:
        pairs = isinstance(value, tuple) and all(
            isinstance(item, tuple) and len(item) == 2 and is_whole(item[0]) and item[0] > 0
            for item in value
        )
        if not isinstance(value, tuple) or not pairs:
            return f"must be a mapping of branch numbers, from 1, but got {shown(value)}"
        if len(dict(value)) < len(value):
            return "must name each branch once"
        return next((found for _, item in value if (found := self.complaint(item))), None)


def number(
    default: Any,
    span: Span,
    meaning: str,
    shapes: Mapping[Phase, Acts],
    *,
    nullable: bool = False,
    **more: Any,
) -> Any:
    """Declare a setting that takes numbers of a span, as the field of a dataclass."""
    kind, within = span
    return _setting(
        default,
        meaning=meaning,
        text=f"must be {kind}{' or null' if nullable else ''}",
        allows=lambda value: is_number(value) and within(float(value or 0)),
        shapes=shapes,
        nullable=nullable,
        **more,
    )


def whole(
    default: Any,
    least: int,
    meaning: str,
    shapes: Mapping[Phase, Acts],
    *,
    most: float = math.inf,
    nullable: bool = False,
    **more: Any,
) -> Any:
    """Declare a setting that takes whole numbers from `least` on, up to `most`."""
    span = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
    return _setting(
        default,
        meaning=meaning,
        text=f"must be a whole number {span}{' or null' if nullable else ''}",
        allows=lambda value: is_whole(value) and least <= int(value or 0) <= most,
        shapes=shapes,
        whole=True,
        nullable=nullable,
        **more,
    )


def named(
    default: str,
    choices: tuple[str, ...],
    meaning: str,
    shapes: Mapping[Phase, Acts],
    **more: Any,
) -> Any:
    """Declare a setting that takes one of some names."""
    return _setting(
        default,
        meaning=meaning,
        text=f"must be one of {', '.join(choices)}",
        allows=lambda value: value in choices,
        shapes=shapes,
        choices=choices,
        **more,
    )


def settings_of(kind: type, prefix: str = "") -> dict[str, Setting]:
    """Return the settings that a class declares, by their names in files."""
    return {
        prefix + (item.metadata["setting"].name or item.name): item.metadata["setting"]
        for item in fields(kind)
        if "setting" in item.metadata
    }


def check_settings(values: object, prefix: str = "") -> None:
    """Refuse what a setting must not be.

    Raises:
        InputError: with the name of the first such setting, the rule and the value.
    """
    kind: Any = type(values)
    for attribute, setting, default in _declared(kind):
        value = getattr(values, attribute)
        if value is default:
            continue  # most are, and a search makes thousands of policies
        if complaint := setting.complaint_of_policy(value):
            raise InputError(f"{prefix}{setting.name or attribute} {complaint}")


@cache
def _declared(kind: type) -> tuple[tuple[str, Setting, object], ...]:
    """Return attribute, setting and default of each setting that a class declares."""
    return tuple(
        (item.name, item.metadata["setting"], item.default)
        for item in fields(kind)
        if "setting" in item.metadata
    )


def _setting(default: Any, **about: Any) -> Any:
    return field(default=default, metadata={"setting": Setting(**about)})
