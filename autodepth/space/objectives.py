"""What is asked of a network: quantities, the metrics they are of, and constraints on them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from autodepth.errors import InputError, did_you_mean
from autodepth.policy.values import is_number, shown

Goal = Literal["maximize", "minimize"]
KnownMetric = Literal[
    "validation_accuracy",
    "validation_loss",
    "macs",
    "effective_macs",
    "parameters",
    "size_bytes",
    "latency_ms",
    "peak_memory_mb",
]
Relation: TypeAlias = Literal["<=", ">="]

Metric: TypeAlias = str
"""What a network is measured by: one of `METRICS`, or `validation_NAME` of a task's own metric."""

METRICS: tuple[KnownMetric, ...] = get_args(KnownMetric)
COSTS: tuple[KnownMetric, ...] = (
    "macs",
    "effective_macs",
    "parameters",
    "size_bytes",
    "latency_ms",
    "peak_memory_mb",
)
"""What a network costs: never below 0, and to be compared with the unpruned network's."""
LATENCY, MEMORY = "latency_ms", "peak_memory_mb"
PLACE_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
AT_PATTERN = rf"{LATENCY}@{PLACE_PATTERN}|{MEMORY}@[1-9][0-9]{{0,3}}"
"""A cost somewhere: the latency at a place, peak memory of a batch."""

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
QUANTITY_PATTERN = rf"^{_NUMBER}\s*[kMG%]?$"
OF_TASK_PATTERN = r"validation_[A-Za-z_]\w*"
CONSTRAINT_PATTERN = rf"^\s*[A-Za-z_]\w*(@[\w.-]+)?\s*(<=|>=)\s*{_NUMBER}\s*[kMG%]?\s*$"

_QUANTITY = re.compile(rf"({_NUMBER})\s*([kMG%]?)")
_CONSTRAINT = re.compile(r"([A-Za-z_]\w*(?:@[\w.-]+)?)\s*(<=|>=)\s*(\S.*)")
ALIASES: dict[str, KnownMetric] = {"accuracy": "validation_accuracy", "params": "parameters"}
SCALES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


def is_of_task(metric: Metric) -> bool:
    """Whether a name may be that of a task's own metric, measured on the validation split."""
    return metric not in METRICS and re.fullmatch(OF_TASK_PATTERN, metric, re.ASCII) is not None


def is_at(metric: Metric) -> bool:
    """Whether a name is of a cost somewhere: `latency_ms@NAME`, `peak_memory_mb@BATCH`."""
    return re.fullmatch(AT_PATTERN, metric, re.ASCII) is not None


def place_of(metric: Metric) -> str | None:
    """Return the place that a latency is of; None for other metrics, and for the trial's device."""
    return metric.partition("@")[2] if is_at(metric) and metric.startswith(LATENCY) else None


def is_known(metric: Metric) -> bool:
    """Whether every network has such a metric, or has it somewhere."""
    return metric in METRICS or is_at(metric)


def is_cost(metric: Metric) -> bool:
    """Whether a metric is a cost: never below 0, to be compared with the unpruned network's."""
    return metric in COSTS or is_at(metric)


def unknown_metric(name: str) -> str:
    """Return what to say of a name that no metric of classification has."""
    if name.startswith(f"{LATENCY}@"):
        return f"must name a place as in {LATENCY}@onnxruntime, but got {name!r}"
    return f"must be one of {', '.join(METRICS)}, but got {name!r}" + did_you_mean(name, METRICS)


def goal_of(metric: Metric) -> Goal:
    """Return which way a metric is better; of a task's own, only the task knows."""
    return "maximize" if metric == "validation_accuracy" else "minimize"


@dataclass(frozen=True)
class Quantity:
    """A number, or a percentage of what the unpruned network has.

    Args:
        amount: the number, or the percentage (70 for 70%).
        relative: whether it is a percentage.
    """

    amount: float
    relative: bool = False

    def of(self, unpruned: float) -> float:
        """Return the absolute number, given the unpruned network's."""
        return self.amount / 100 * unpruned if self.relative else self.amount

    def __str__(self) -> str:
        return repr(self.amount).removesuffix(".0") + ("%" if self.relative else "")

    def to_plain(self) -> float | str:
        """Return the quantity as a space file spells it."""
        return str(self) if self.relative else self.amount


def parse_quantity(value: object) -> Quantity:
    """Read `0.9`, `60M` or `70%`.

    Raises:
        InputError: it is neither a number nor a text of this form.
    """
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match:
        number, unit = float(match[1]), match[2]
        quantity = Quantity(number * SCALES.get(unit, 1.0), relative=unit == "%")
    elif isinstance(value, int | float) and is_number(value):
        quantity = Quantity(float(value))
    else:
        quantity = Quantity(float("nan"))
    if not is_number(quantity.amount):
        raise InputError(f"must be a number such as 0.9, 60M or 70%, but got {shown(value)}")
    return quantity


def check_quantity(metric: Metric, quantity: Quantity) -> None:
    """Raise InputError unless the quantity can be one of the metric."""
    if not is_cost(metric) and quantity.relative:
        hint = f"; write {quantity.amount / 100:g}" if metric == "validation_accuracy" else ""
        raise InputError(
            f"{metric} must be a number, since % is a share of the unpruned network's cost, "
            f"but got {quantity}{hint}"
        )
    if metric == "validation_accuracy" and not 0 <= quantity.amount <= 1:
        raise InputError(f"{metric} must be a fraction in [0, 1], but got {quantity}")
    if is_cost(metric) and quantity.amount <= 0:
        raise InputError(f"{metric} must be above 0, but got {quantity}")


@dataclass(frozen=True)
class Constraint:
    """A bound a network has to keep."""

    metric: Metric
    relation: Relation
    bound: Quantity

    def excess(self, value: float, unpruned: float) -> float:
        """Return by what share of the bound it is broken; not above 0 where it holds.

        Args:
            value: the network's value of the metric.
            unpruned: the unpruned network's; it counts for a relative bound only.
        """
        bound = self.bound.of(unpruned)
        over = value - bound if self.relation == "<=" else bound - value
        return over / max(abs(bound), 1e-12)

    def __str__(self) -> str:
        return f"{self.metric} {self.relation} {self.bound}"


def parse_constraint(text: object) -> Constraint:
    """Read `METRIC (<=|>=) NUMBER[k|M|G|%]`.

    Raises:
        InputError: the text has another form, or the bound cannot be one of the metric.
    """
    match = _CONSTRAINT.fullmatch(text.strip()) if isinstance(text, str) else None
    if not match:
        raise InputError(
            "must be METRIC <= NUMBER or METRIC >= NUMBER, for example 'macs <= 70%', "
            f"but got {shown(text)}"
        )
    name = ALIASES.get(match[1], match[1])
    if not is_known(name) and not is_of_task(name):
        raise InputError(f"metric {unknown_metric(match[1])}")
    bound = parse_quantity(match[3])
    check_quantity(name, bound)
    return Constraint(name, "<=" if match[2] == "<=" else ">=", bound)
