"""An objective is a known metric, driven one way, with a corner that is a number."""

import math

import pytest

from autodepth.errors import InputError
from autodepth.front.objective import METRICS, Objective, objective_values
from autodepth.space import objectives
from autodepth.trial.result import OperatingPoint


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "mac"}, "but got 'mac', did you mean 'macs'?"),
        ({"goal": "minimise"}, "the goal of macs must be one of maximize, minimize"),
        ({"reference": math.inf}, "the reference of macs must be finite, but got inf"),
        ({"reference": math.nan}, "must be finite"),
    ],
)
def test_what_is_no_objective_is_refused_with_what_was_given(change, told):
    given = {"name": "macs", "goal": "minimize", "reference": 1.0} | change
    with pytest.raises(InputError) as error:
        Objective(**given)

    assert told in str(error.value)


def test_an_objective_comes_back_from_json():
    objective = Objective(name="macs", goal="minimize", reference=1.5)

    assert Objective(**objective.to_dict()) == objective


def test_values_are_a_row_per_network_and_a_column_per_objective():
    points = [
        OperatingPoint(
            validation_accuracy=accuracy, validation_loss=0.3, macs=macs, effective_macs=1,
            parameters=1, size_bytes=1, latency_ms=1.0,
        )
        for accuracy, macs in ((0.9, 30), (0.8, 20))
    ]  # fmt: skip
    two = [
        Objective(name="macs", goal="minimize", reference=1.0),
        Objective(name="validation_accuracy", goal="maximize", reference=0.0),
    ]

    assert objective_values(points, two) == [(30.0, 0.9), (20.0, 0.8)]


def test_a_network_is_measured_by_what_a_space_file_may_ask_for():
    assert set(METRICS) == set(objectives.METRICS)
