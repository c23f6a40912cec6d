"""What a task of one's own gives that cannot be used is told with the line of its file."""

import re
from pathlib import Path

import pytest
import torch

from autodepth.errors import TaskError
from autodepth.tasks.own_task import TaskSpec, make_task
from autodepth.tasks.task_data import keys_of_test, read_task_data, refuse_shared

SPEC = TaskSpec(name="ink:Ink", own_code=True)
LOSS = "return functional.smooth_l1_loss(outputs, targets)"
OUTPUTS, TARGETS = torch.zeros(4, 2), torch.ones(4, 2)


def told(where, text):
    """Match a message that begins with a line of ink.py: that of a text in it, or a method."""
    return f"^{re.escape(f'ink.py:{where}')}: .*{text}"


def line_of(text):
    lines = Path("ink.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


def test_what_loss_raises_has_its_line(in_folder):
    in_folder((LOSS, "return functional.smooth_l1_loss(outputs, targets[:, :1].view(7))"))

    with pytest.raises(TaskError, match=told(line_of("view(7)"), "loss failed: RuntimeError")):
        make_task(SPEC).loss(OUTPUTS, TARGETS)


def test_a_loss_is_one_number(in_folder):
    in_folder((LOSS, "return (outputs - targets).abs()"))

    with pytest.raises(TaskError, match=told(line_of("def loss"), r"gave a tensor \(4, 2\)")):
        make_task(SPEC).loss(OUTPUTS, TARGETS)


def test_targets_spread_is_of_every_output(in_folder):
    spread = "    def targets_spread(self):\n        return torch.ones(3), torch.ones(3)\n\n"
    in_folder(("    def loss", f"{spread}    def loss"))

    with pytest.raises(
        TaskError, match=told(line_of("def targets_spread"), "must give two tensors of 2 numbers")
    ):
        make_task(SPEC).targets_spread()


def test_every_metric_is_given(in_folder):
    in_folder(('"mae": off.mean()', '"mea": off.mean()'))
    meter = make_task(SPEC).meter()
    meter.update(OUTPUTS, TARGETS)

    with pytest.raises(
        TaskError, match=told(line_of("def measure"), "'mae' is missing, did you mean 'mea'")
    ):
        meter.compute()


@pytest.mark.parametrize(
    ("metrics", "text"),
    [
        ("{}", "metrics must name at least one Metric"),
        ('{"mae": 4.0, "off": Metric()}', r"metrics\['mae'\] must be a Metric"),
        ('{"m a e": Metric()}', "a metric's name must be letters, digits and _"),
    ],
)
def test_metrics_have_names_and_ranges(in_folder, metrics, text):
    given = '{"mae": Metric(worst=4.0, best=0.0, unit="px"), "off": Metric(worst=8, best=0)}'
    in_folder((given, metrics))

    with pytest.raises(TaskError, match=told(line_of("class Ink"), text)):
        make_task(SPEC)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("images / 16, torch", "images, torch", None),
        ("return DataLoader(", "return iter(DataLoader(", "must have a length and go on anew"),
        ("self.inputs[part], self", "self.inputs[part].long(), self", "a tensor of floats"),
        (
            "TensorDataset(self.inputs[part], self",
            "TensorDataset(self",
            r"must be \(inputs, targets\)",
        ),
        ('"train": slice(0, 120)', '"train": slice(0, 1)', "train must hold at least 2 examples"),
        (
            '"train": slice(0, 120)',
            '"train": slice(0, 130)',
            "no example may be in two splits, but 10 of 60 inputs of validation",
        ),
    ],
)
def test_batches_are_looked_at(in_folder, old, new, text):
    closing = [("generator=generator)\n", "generator=generator))\n")] if "iter(" in new else []
    in_folder((old, new), *closing)
    task = make_task(SPEC)

    if text is None:
        assert len(read_task_data(task).train) == 120
        return
    with pytest.raises(TaskError, match=told(line_of("def batches"), text)):
        read_task_data(task)


def test_batches_of_another_shape_are_told_by_their_number(in_folder):
    in_folder(
        (
            "        return DataLoader(examples, batch_size",
            "        if split == 'validation':\n"
            "            examples = TensorDataset(self.inputs[part, :, 1:], self.targets[part])\n"
            "        return DataLoader(examples, batch_size",
        )
    )

    with pytest.raises(
        TaskError,
        match=told(line_of("def batches"), "batch 0 of validation must be of shape 1x8x8 as those"),
    ):
        read_task_data(make_task(SPEC))


def test_the_same_examples_have_the_same_fingerprint_and_others_another(in_folder):
    in_folder()
    task = make_task(SPEC)
    found, again = read_task_data(task), read_task_data(task)
    task.inner.targets = task.inner.targets + 1

    assert (len(found.train), len(found.validation)) == (120, 60)
    assert (found.channels, found.height, found.width, found.outputs) == (1, 8, 8, 2)
    assert found.fingerprint == again.fingerprint
    assert found.fingerprint != read_task_data(task).fingerprint


def test_test_examples_that_were_trained_on_are_refused(in_folder):
    in_folder(('"test": slice(180, 240)', '"test": slice(100, 240)'))
    task = make_task(SPEC)
    known = read_task_data(task).record.development

    with pytest.raises(TaskError, match="80 of 140 inputs of test"):
        refuse_shared(task, known, keys_of_test(task), "test")
