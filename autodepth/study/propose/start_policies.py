"""Policies as points of a space: those a search starts with, and the parent of the control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autodepth.errors import InputError
from autodepth.policy.policy import Policy
from autodepth.policy.settings import SETTINGS
from autodepth.policy.values import Scalar, shown
from autodepth.space.domains import Dimension, nearest_value
from autodepth.space.sections.search_models import StartPoint
from autodepth.study.propose.known.parent_pool import shapes_parent
from autodepth.study.propose.sampling.optuna_sampler import Point

_ALL = 1e9  # the nearest value of a range is its end

_NAMED: dict[str, dict[str, Scalar]] = {
    # The far end of the front, from a parent that short training does not starve: of 8 epochs with
    # p_L 0.3 the shallowest network keeps an eighth less accuracy (benchmarks/first_parent.py).
    "shallow": {
        "origin": "parent",
        "p_L": 0.8,
        "decay_shape": "linear",
        "sensitivity_threshold": _ALL,
        "branches_removed": _ALL,
        "macs_target": 0.0,
        "filter_sparsity": 0.0,
        "weight_sparsity": 0.0,
        "least_per_stage": 0,
        "fine_tune_epochs": _ALL,
    },
    "unpruned": {
        "origin": "parent",
        "p_L": 1.0,
        "sensitivity_threshold": 0.0,
        "branches_removed": 0,
        "macs_target": 1.0,
        "filter_sparsity": 0.0,
        "weight_sparsity": 0.0,
    },
    "linear_rule": {
        "origin": "parent",
        "p_L": 0.5,
        "decay_shape": "linear",
    },  # Huang et al. 2016, section 3
    "constant_depth": {"origin": "parent", "p_L": 1.0},
    # Of given weights, whose front grows from the network's own end: the more goes, the longer and
    # the faster what is left is trained (benchmarks/results/trained_network.md).
    "mild": {
        "origin": "parent",
        "macs_target": 0.7,
        "recovery": "reconstruct",
        "fine_tune_epochs": 2,
        "train.fine_tune_learning_rate": 0.004,
        "distillation": 0.0,
    },
    "strong": {
        "origin": "parent",
        "macs_target": 0.4,
        "recovery": "reconstruct",
        "fine_tune_epochs": 8,
        "train.fine_tune_learning_rate": 0.02,
        "distillation": 0.0,
    },
}


def start_points(wanted: Sequence[StartPoint], dimensions: Sequence[Dimension]) -> list[Point]:
    """Return the points a search starts with; what one leaves open the sampler chooses.

    Of a policy given by its name each setting takes the nearest value that the space has; a value
    given as a number has to be one of the space's.

    Args:
        wanted: names, or values by setting; a threshold speaks for all its parts.
        dimensions: of the space, for one network.

    Raises:
        InputError: a value is not in the space.
    """
    return [_point(start, dimensions) for start in wanted]


def _point(start: StartPoint, dimensions: Sequence[Dimension]) -> Point:
    values: Mapping[str, Any] = _NAMED[start] if isinstance(start, str) else start
    point: Point = {}
    for dimension in dimensions:
        name = dimension.name if dimension.name in values else whole_name(dimension.name)
        if name not in values:
            continue
        value = values[name]
        if isinstance(start, str):
            value = nearest_value(dimension.domain, value)
        if dimension.domain.contains(value):
            point[dimension.name] = value
        elif not isinstance(start, str):
            raise InputError(
                f"start_with: {name} must be in {dimension.domain.to_setting()}, "
                f"but got {shown(value)}"
            )
    return point


def whole_name(name: str) -> str:
    """Return the setting a part belongs to: `sensitivity_threshold.2` to its name."""
    stem, _, number = name.rpartition(".")
    return stem if number.isdigit() else name


def parent_point(policy: Policy, dimensions: Sequence[Dimension]) -> Point | None:
    """Return the searched settings that give a policy's parent; None where the space has no such.

    Args:
        policy: whose parent.
        dimensions: of the space, for one network.
    """
    values = {name: policy.value(name) for name in SETTINGS}
    point: Point = {}
    for dimension in dimensions:
        counts = dimension.condition is None or dimension.condition.holds(values)
        if not (shapes_parent(dimension.name, values) and counts):
            continue
        if not dimension.domain.contains(values[dimension.name]):
            return None
        point[dimension.name] = values[dimension.name]
    return point
