"""Bounds are compared with the network's own numbers, relative ones with the unpruned network's."""

import math

import pytest

from autodepth.front.violations import violations_of
from autodepth.space.objectives import parse_constraint
from autodepth.trial.result import OperatingPoint

POINT = OperatingPoint(
    validation_accuracy=0.9, validation_loss=0.3, macs=90, effective_macs=90, parameters=10,
    size_bytes=40, latency_ms=2.0,
)  # fmt: skip


def test_a_broken_bound_is_above_0_by_its_share_and_a_kept_one_is_not():
    bounds = ["macs <= 60%", "accuracy >= 0.8", "latency_ms <= 2"]
    found = violations_of(POINT, [parse_constraint(text) for text in bounds], {"macs": 100.0})

    assert found == {
        "macs <= 60%": pytest.approx(0.5),
        "validation_accuracy >= 0.8": pytest.approx(-0.125),
        "latency_ms <= 2": 0.0,
    }


def test_a_relative_bound_without_the_unpruned_network_holds_nobody():
    (excess,) = violations_of(POINT, [parse_constraint("params <= 60%")], {}).values()

    assert math.isnan(excess)
    assert not excess > 0
