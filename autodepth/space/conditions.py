"""When a setting counts: `when: {decay_shape: power, train.epochs: "> 0"}`.

The grammar is fixed and nothing is evaluated: a value, a list of values, or a comparison of a
number with `<`, `<=`, `>` or `>=`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeAlias

from autodepth.errors import InputError, did_you_mean
from autodepth.policy.settings import SEARCHED, THRESHOLD
from autodepth.policy.values import Scalar, shown

Wanted: TypeAlias = Scalar | tuple[Scalar, ...]

_RELATIONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_COMPARISON = re.compile(r"(<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")


@dataclass(frozen=True)
class Condition:
    """What other settings must be; all of it must hold.

    Args:
        wanted: pairs of a setting's name and what it must be, as the file spells it.
    """

    wanted: tuple[tuple[str, Wanted], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The settings the condition asks for."""
        return tuple(name for name, _ in self.wanted)

    def to_when(self) -> dict[str, Any]:
        """Return the condition as a space file spells it."""
        return {name: list(w) if isinstance(w, tuple) else w for name, w in self.wanted}

    def holds(self, point: Mapping[str, Scalar]) -> bool:
        """Return whether the point fulfils the condition.

        Args:
            point: values by setting, the fixed ones included. A setting that is missing does not
                count itself, so nothing that waits for it does.
        """
        return all(name in point and _fits(point[name], wanted) for name, wanted in self.wanted)


def parse_wanted(value: object) -> Wanted:
    """Check what a file says a setting must be, and return it.

    Raises:
        InputError: it is neither a value, a list of values nor a comparison.
    """
    if isinstance(value, list | tuple) and value:
        items = tuple(value)
        if not any(isinstance(item, dict | list | tuple) for item in items):
            return items
    elif isinstance(value, str):
        if value.lstrip()[:1] not in {"<", ">", "="} or _COMPARISON.fullmatch(value.strip()):
            return value
    elif value is None or isinstance(value, bool | int | float):
        return value
    raise InputError(
        "must be a value, a list of values, or a comparison such as '> 0' or '<= 0.5', "
        f"but got {shown(value)}"
    )


def dependency_order(conditions: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Order settings so that each follows those its condition names.

    Args:
        conditions: the names each setting's condition asks for; settings without one included.

    Raises:
        graphlib.CycleError: settings wait for each other; the cycle is its second argument.
    """
    return tuple(TopologicalSorter(conditions).static_order())


def condition_mistakes(
    conditions: Mapping[str, Mapping[str, object]], per: str
) -> Iterator[tuple[str, str, str, bool]]:
    """Find conditions on settings that are absent, circular, or can never hold.

    Args:
        conditions: the `when` of every setting of the file, empty for those without.
        per: what the sensitivity thresholds speak for: `network`, `stage` or `block`.

    Yields:
        (setting, named setting, message, whether the name is wrong and not what it must be).
    """
    for name, wanted_by_name in conditions.items():
        for other, wanted in wanted_by_name.items():
            if message := _name_mistake(name, other, list(conditions), per):
                yield name, other, message, True
            elif message := _wanted_mistake(other, wanted):
                yield name, other, message, False
    graph = {
        name: tuple(other for other in wanted if other in conditions and other != name)
        for name, wanted in conditions.items()
    }
    try:
        dependency_order(graph)
    except CycleError as error:
        circle = error.args[1][::-1]  # graphlib lists what is waited for before what waits
        message = f"these wait for each other in a circle: {' -> '.join(circle)}"
        yield circle[0], circle[1], message, True


def _name_mistake(name: str, other: str, settings: list[str], per: str) -> str | None:
    if other == name:
        return "a setting cannot wait for itself"
    if other not in settings:
        known = [setting for setting in settings if setting != name]
        rule = f"`when` must name another setting of this file ({', '.join(known)})"
        return f"{rule}, but got {shown(other)}{did_you_mean(other, known)}"
    if other == THRESHOLD and per != "network":
        return f"cannot wait for {THRESHOLD}, which has one value per {per} here"
    return None


def _wanted_mistake(other: str, wanted: object) -> str | None:
    rule = SEARCHED[other]
    if isinstance(wanted, str) and _COMPARISON.fullmatch(wanted.strip()):
        return f"{other} {rule.text}, but got the comparison {wanted!r}" if rule.choices else None
    values = wanted if isinstance(wanted, list | tuple) else [wanted]
    return next((text for text in map(rule.complaint, values) if text), None)


def _fits(value: Scalar, wanted: Wanted) -> bool:
    if isinstance(wanted, tuple):
        return value in wanted
    comparison = _COMPARISON.fullmatch(wanted.strip()) if isinstance(wanted, str) else None
    if comparison is None:
        return value == wanted
    relation, bound = comparison.groups()
    return isinstance(value, int | float) and _RELATIONS[relation](value, float(bound))
