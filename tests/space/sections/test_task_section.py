"""The key `task` of a space file, and what goes with it."""

import pytest

from autodepth.space.sections.messages import find_mistakes

PLAIN = {"version": 1, "network": "resnet14", "search": {}}
OWN = {"name": "validation_mae", "reference": 3}


def told(**more):
    _, mistakes = find_mistakes({**PLAIN, **more})
    return [(mistake.place, mistake.message) for mistake in mistakes]


def test_a_task_of_ones_own_brings_its_data_and_its_metrics():
    assert told(task="ink:Ink", objectives=[OWN], constraints=["validation_mae <= 3"]) == []
    assert told(task={"name": "a.b:make", "arguments": {"size": 3}}) == []


def test_a_task_has_a_known_name():
    ((place, message),) = told(task="clasification", data="digits")

    assert place == ("task", "name")
    assert message.endswith("did you mean 'classification'?")


def test_data_beside_a_task_of_ones_own_are_refused():
    (mistake,) = told(task="ink:Ink", data="digits")

    assert mistake == (("data",), "must be left out, since the task ink:Ink brings its own")


def test_classification_needs_data_and_has_its_metrics():
    assert told() == [(("data",), "is required, but missing")]
    ((place, message),) = told(data="task")
    assert place == ("data",)
    assert "no task brings along" in message
    found = told(data="digits", objectives=[OWN], constraints=["validation_mae <= 3"])
    assert [place for place, _ in found] == [("objectives", 0, "name"), ("constraints", 0)]
    assert all(message.startswith("must be one of validation_accuracy") for _, message in found)


def test_classification_has_the_metrics_that_are_asked_for():
    task = {"name": "classification", "arguments": {"metrics": ["top5", "accuracy_of_cat"]}}
    wishes = [{"name": "validation_top5", "reference": 0}, {"name": "macs", "reference": "100%"}]
    bounds = ["validation_accuracy_of_cat >= 0.5"]
    assert told(task=task, data="digits", objectives=wishes, constraints=bounds) == []

    ((place, _),) = told(task=task, data="digits", constraints=["validation_auroc >= 0.5"])
    assert place == ("constraints", 0)


@pytest.mark.parametrize(
    ("arguments", "place", "rule"),
    [
        ({"metrics": ["top_5"]}, "metrics", "got 'top_5', did you mean 'top5'"),
        ({"metrics": []}, "metrics", "must be a list of top5"),
        ({"metrics": ["auroc", "auroc"]}, "metrics", "must name each metric once"),
        ({"metric": ["auroc"]}, "metric", "classification takes metrics alone, but got 'metric'"),
    ],
)
def test_metrics_of_classes_are_known(arguments, place, rule):
    ((found, message),) = told(task={"arguments": arguments}, data="digits")

    assert found == ("task", "arguments", place)
    assert rule in message
