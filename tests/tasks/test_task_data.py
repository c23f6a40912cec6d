"""Targets of any form are part of what examples are."""

from typing import ClassVar

import torch

from autodepth.tasks.checked_task import CheckedTask
from autodepth.tasks.task import Metric, Task
from autodepth.tasks.task_data import read_task_data


class Boxes(Task):
    metrics: ClassVar = {"iou": Metric()}

    def __init__(self, last):
        self.last = last

    def batches(self, split, **_):
        start = 0 if split == "train" else 10
        inputs = torch.arange(start, start + 4.0).view(4, 1, 1, 1)
        return [(inputs, [{"box": torch.ones(2), "name": n} for n in ("a", "b", "c", self.last)])]

    def loss(self, outputs, _):
        return outputs.mean()


def test_a_target_that_differs_changes_the_fingerprint():
    first, second = (read_task_data(CheckedTask(Boxes(last), "boxes")) for last in "de")

    assert first.fingerprint != second.fingerprint
    assert (first.record.development == second.record.development).all()
