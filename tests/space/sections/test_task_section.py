"""The key `task` of a space file, and what goes with it."""

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
