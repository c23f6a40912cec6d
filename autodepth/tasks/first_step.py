"""One step of a task of one's own on the untrained network, before anything is searched."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autodepth.data.settings import DataSettings, Normalisation, SplitRule
from autodepth.errors import InputError, TaskError
from autodepth.networks.catalogue.own_builder import is_own
from autodepth.networks.catalogue.pixel_constants import constants_of
from autodepth.policy.setting import settings_of
from autodepth.policy.training_settings import TrainingSettings
from autodepth.space.domains import Choice, Fixed
from autodepth.space.search_space import SearchSpace
from autodepth.tasks.checked_task import CheckedTask
from autodepth.tasks.in_space import with_task_metrics
from autodepth.tasks.own_task import TaskSpec, make_task
from autodepth.tasks.task_data import TaskData, read_task_data

_EXAMPLES = 4
_DEFAULTS_OF_LABELS = {
    f"train.{name}": getattr(TrainingSettings, name)
    for name, setting in settings_of(TrainingSettings).items()
    if setting.of_labels
}


def data_settings(space: SearchSpace, rule: SplitRule) -> tuple[DataSettings, bool]:
    """Return the data settings of a space, and whether the number of images is left to us."""
    values = space.data.model_dump()
    automatic = values["train_images"] == "auto"
    if automatic:
        values["train_images"] = None
    return DataSettings.from_dict({**values, "split_rule": rule}), automatic


def read_task(
    space: SearchSpace, learns: TaskSpec, rule: SplitRule = "content"
) -> tuple[SearchSpace, TaskSpec, TaskData]:
    """Make a task and look at its examples.

    Returns:
        The space with the task's metrics, the task as workers elsewhere make it, and the data.

    Raises:
        InputError: the task cannot be used, or the space names what it does not measure.
    """
    if not learns.is_own:
        settings, _ = data_settings(space, rule)
        if settings.normalisation == "auto" and space.network.weights is not None:
            told = constants_of(space.network.name, Path(space.network.weights))
            known = told and Normalisation(mean=told.mean, std=told.std)
            settings = replace(settings, normalisation=known or "imagenet")
        learns = replace(learns, data=settings)
    task = make_task(learns)
    space = with_task_metrics(space, task.metrics)
    if not (task.outputs or is_own(space.network.name)):
        raise TaskError(
            f"{task.place('batches')}: a task must say its outputs, the numbers a network gives "
            f"for one input, since {space.network.name} is built by name"
        )
    _refuse_what_is_for_labels(space, task.name)
    data = read_task_data(task, learns.data)
    if learns.data is not None and data.normalisation is not None:
        learns = replace(learns, data=replace(learns.data, normalisation=data.normalisation))
    return space, learns.imported(), data


def _refuse_what_is_for_labels(space: SearchSpace, task: str) -> None:
    for dimension in space.dimensions:
        needless = _DEFAULTS_OF_LABELS.get(dimension.name, ...)
        if needless is not ... and dimension.domain not in (Fixed(needless), Choice((needless,))):
            raise InputError(
                f"{dimension.name} must be {needless}, since it is for images with labels, "
                f"which {task} does not have"
            )


def try_task(task: CheckedTask, network: Callable[[Tensor], Any], *, distils: bool) -> None:
    """Run a few examples through the network, and ask the task for loss and metrics.

    Args:
        task: what is to be learned.
        network: in evaluation mode, on the CPU.
        distils: whether the search learns from a teacher.

    Raises:
        TaskError: the network does not take the inputs, or what the task gives cannot be used.
    """
    inputs, targets = next(iter(task.batches("train", batch_size=_EXAMPLES, generator=None)))
    try:
        outputs = network(inputs)
    except Exception as error:
        raise task.mistake(
            "batches", f"the network takes no inputs of {tuple(inputs.shape)}: {error}"
        ) from error
    trained = _through_head(task, outputs)
    for loss in (task.loss(outputs, targets), task.training_loss(trained, targets, 0.0)):
        if not loss.requires_grad:
            raise task.mistake("loss", "loss must depend on the outputs, but cannot be derived")
        if not math.isfinite(loss.item()):
            raise task.mistake("loss", f"loss must be finite, but is {loss.item()} before training")
    if distils:
        task.distillation(trained, outputs, 1.0)
    with torch.inference_mode():
        meter = task.meter()
        meter.update(outputs, targets)
        for name, value in meter.compute().items():
            _check_number(task, name, value)


def _through_head(task: CheckedTask, outputs: Any) -> Any:
    """Return outputs as the loss of a training step takes them."""
    with torch.random.fork_rng(devices=[]):
        head = task.training_head()
    if head is None:
        return outputs
    with task.told("training_head"):
        return head(outputs)


def _check_number(task: CheckedTask, name: str, value: Any) -> None:
    try:
        float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TaskError(
            f"{task.place('measure') or task.name}: the metric {name} must be one number, "
            f"but is {value!r:.60}"
        ) from error
