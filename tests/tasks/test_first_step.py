"""One step on the untrained network shows what a task lacks before anything is trained."""

import pytest
import torch

from autodepth.errors import InputError, TaskError
from autodepth.space.file.space_file import load_space
from autodepth.tasks.first_step import read_task, try_task
from autodepth.tasks.own_task import TaskSpec, make_task

SPEC = TaskSpec(name="ink:Ink", own_code=True)
LOSS = "return functional.smooth_l1_loss(outputs, targets)"


def network():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))


@pytest.mark.parametrize(
    ("exchanged", "text"),
    [
        ((LOSS, "return outputs.mean() / 0"), "loss must be finite, but is -?inf before training"),
        ((LOSS, "return targets.mean()"), "loss must depend on the outputs"),
        (('"mae": off.mean()', '"mae": off.mean(0)'), "measure failed"),
        (("images / 16, torch", "images[:, :, 1:] / 16, torch"), "the network takes no inputs"),
    ],
)
def test_a_mistake_has_its_line(in_folder, exchanged, text):
    in_folder(exchanged)

    with pytest.raises(TaskError, match=rf"^ink\.py:\d+: .*{text}"):
        try_task(make_task(SPEC), network(), distils=False)


def test_a_task_without_distillation_learns_from_no_teacher(in_folder):
    in_folder()
    task = make_task(SPEC)

    try_task(task, network(), distils=False)
    with pytest.raises(InputError, match="Ink has no distillation, so it must be 0"):
        try_task(task, network(), distils=True)


def test_a_network_built_by_name_has_to_know_its_outputs(in_folder):
    space = load_space(in_folder(("    outputs = 2\n", "")))

    with pytest.raises(TaskError, match=r"^ink\.py:\d+: a task must say its outputs"):
        read_task(space, SPEC)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("label_smoothing=0.1", "label_smoothing must be 0"),
        ("mixup={min: 0.0, max: 0.4}", "mixup must be 0"),
        ("auto_augment=trivial", "auto_augment must be none"),
        ("class_weights={values: [none, balanced]}", "class_weights must be none"),
    ],
)
def test_what_is_for_labels_is_refused_where_there_are_none(in_folder, given, rule):
    space = load_space(in_folder(), [f"train.{given}"])

    with pytest.raises(InputError, match=rf"^train\.{rule}.*, since it is for images with labels"):
        read_task(space, SPEC)


def test_what_is_for_labels_may_be_given_as_it_is_without(in_folder):
    read_task(load_space(in_folder(), ["train.label_smoothing=0", "train.mixup=0"]), SPEC)
