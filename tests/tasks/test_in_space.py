"""Objectives and constraints by the metrics of a task."""

import pytest

from autodepth.errors import InputError
from autodepth.space.search_space import SearchSpace
from autodepth.tasks.in_space import with_task_metrics
from autodepth.tasks.task import Metric

METRICS = {"mae": Metric(worst=4, best=0, unit="px"), "r2": Metric()}


def space(**more):
    content = {"version": 1, "network": "resnet14", "task": "ink:Ink", "search": {}, **more}
    return SearchSpace.from_dict(content)


def test_the_leading_metric_and_macs_are_what_is_made_better_if_nothing_is_said():
    found = with_task_metrics(space(), METRICS).objectives

    assert [(o.name, o.goal) for o in found] == [
        ("validation_mae", "minimize"),
        ("macs", "minimize"),
    ]
    assert found[0].reference.of(1.0) == 4


def test_the_goal_is_the_metrics():
    asked = [{"name": "validation_r2", "reference": 0}, {"name": "validation_mae", "reference": 3}]

    found = with_task_metrics(space(objectives=asked), METRICS).objectives

    assert [o.goal for o in found] == ["maximize", "minimize"]


def test_a_space_with_its_metrics_reads_as_it_was_written():
    found = with_task_metrics(space(constraints=["validation_mae <= 3"]), METRICS)

    assert SearchSpace.from_dict(found.to_dict()) == found


def test_every_name_no_metric_has_is_told():
    asked = [
        {"name": "validation_mea", "reference": 0},
        {"name": "validation_r2", "goal": "minimize", "reference": 0},
    ]

    with pytest.raises(InputError) as told:
        with_task_metrics(
            space(objectives=asked, constraints=["validation_accuracy >= 0.9"]), METRICS
        )

    lines = str(told.value).splitlines()
    assert lines[0].startswith("objectives[0].name: must be one of validation_mae, validation_r2")
    assert lines[0].endswith("did you mean 'validation_mae'?")
    assert lines[1].startswith("objectives[1].goal: of validation_r2 must be maximize")
    assert lines[2].startswith("constraints[0]: must be one of validation_mae")
