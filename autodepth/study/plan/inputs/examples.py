"""The examples that a study learns from: read as its task has them, as many as the budget buys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from autodepth.data.batches import Batches
from autodepth.data.load import ImageData, load_data
from autodepth.data.prepare import Augmentation, resolve_augment
from autodepth.data.settings import Normalisation, SplitRule
from autodepth.errors import InputError
from autodepth.networks.catalogue import NetworkSpec
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.space.search_space import SearchSpace
from autodepth.study.cluster.shipping import pack
from autodepth.study.plan.estimate import TrialCost
from autodepth.study.plan.plan import PlanRequest
from autodepth.tasks.first_step import data_settings, read_task
from autodepth.tasks.in_space import with_task_metrics
from autodepth.tasks.own_task import TaskSpec
from autodepth.tasks.shipped.measures.of_classes import class_measures
from autodepth.tasks.task_data import TaskData
from autodepth.trial.phases.given_normalisation import choose_normalisation
from autodepth.trial.training.evaluation import answers

if TYPE_CHECKING:
    from autodepth.study.cluster.cluster import Cluster

OWN_ANSWERS = (
    "labels are the answers of the network given: accuracy is how often a network answers "
    "as it does, and says nothing of how often either is right"
)
_ENOUGH_VALIDATION = 200  # images: steps of half a point
# `train_images: auto` takes as many images as let the budget buy this many trials.
_WANTED_TRIALS = 10
_FEWEST_PER_CLASS = 10


def read_examples(
    space: SearchSpace, request: PlanRequest, rule: SplitRule
) -> tuple[SearchSpace, TaskSpec, ImageData | TaskData, bool]:
    """Return the space as the task has it, the task, its data, and whether their number is open.

    Raises:
        InputError: the task or its data cannot be used.
    """
    learns = TaskSpec(
        name=space.task.name, arguments=dict(space.task.arguments), own_code=request.own_task
    )
    if learns.is_classification:
        data, automatic = _read_images(space, request, rule)
        if measures := class_measures(learns.arguments, data.classes):
            space = with_task_metrics(space, measures.metrics)
        return space, learns, data, automatic
    return *read_task(space, learns, rule), False


def _read_images(
    space: SearchSpace, request: PlanRequest, rule: SplitRule
) -> tuple[ImageData | TaskData, bool]:
    """Return the images to classify, and whether their number is left to us.

    Raises:
        InputError: they cannot be read, or their labels would be the answers of no network.
    """
    settings, automatic = data_settings(space, rule)
    data = load_data(settings, trust=request.trust_data)
    if settings.unlabelled and space.network.weights is None:
        raise InputError(
            f"labels of {settings.name} are the answers of a trained network: give it with "
            "--weights FILE"
        )
    return data, automatic


def check_nodes(cluster: Cluster, data: ImageData | TaskData, learns: TaskSpec) -> None:
    """Refuse nodes that lack what does not travel to them.

    Raises:
        ClusterError: some do.
    """
    if isinstance(data, TaskData):
        files = pack(NetworkSpec(name=learns.name), learns=learns)
        cluster.check_examples(learns, files, data.fingerprint)
    elif data.a_file is not None:
        cluster.check_sees(data.a_file)


def affordable(
    data: ImageData, cost: TrialCost, place_seconds: float
) -> tuple[ImageData, list[str]]:
    """Take as many images as let the budget buy the wanted number of trials."""
    limit = place_seconds / _WANTED_TRIALS
    training, validation = len(data.train), len(data.validation)
    fewest = _FEWEST_PER_CLASS * len(data.classes)
    while cost.seconds(training, validation) > limit and training > fewest:
        training = max(fewest, int(training * 0.9))
        validation = min(len(data.validation), max(fewest, training // 2))
    if training == len(data.train):
        return data, []
    note = (
        f"training on {training:,} of {len(data.train):,} images and validating on "
        f"{validation:,}, so that the budget buys about "
        f"{place_seconds / cost.seconds(training, validation):.0f} trials "
        "(data.train_images: auto)"
    )
    settings = replace(data.settings, train_images=training, validation=validation)
    return load_data(settings, trust=True), [note]  # they were looked at


def seen_by_weights(data: ImageData | TaskData, weights: Path | None) -> list[str]:
    """Return a note where given weights may have been trained on images that validate."""
    settings = data.settings
    if weights is None or settings.unlabelled or settings.validation_from == "test":
        return []
    return [
        f"the given weights may have been trained on the images that validate, which are taken "
        f"from the training part of {settings.name.partition(':')[0]}: accuracies of a front look "
        "better then than on new images, which `evaluate` tells; data.validation_from: test takes "
        "half of the test images in their place"
    ]


def coarse_validation(data: ImageData | TaskData) -> list[str]:
    """Say where validation is too small to tell networks apart that differ by a point or two."""
    validation = len(data.validation)
    if isinstance(data, TaskData) or validation >= _ENOUGH_VALIDATION:
        return []
    return [
        f"with {validation:,} images to validate, accuracy moves in steps of "
        f"{100 / validation:.1f} points; a larger data.validation makes them finer"
    ]


def preparation(
    data: ImageData | TaskData, spec: NetworkSpec, weights: Path | None
) -> tuple[Normalisation, Augmentation, list[str]]:
    """Return how images are prepared; a task prepares its examples itself."""
    if isinstance(data, TaskData):
        channels = spec.channels
        as_it_is = Normalisation(mean=(0.0,) * channels, std=(1.0,) * channels)
        return data.normalisation or as_it_is, Augmentation(), []
    normalisation, told = choose_normalisation(data, spec, weights)
    return (
        normalisation,
        resolve_augment(data.settings, data.train.shape),
        told + _repeated(data, spec),
    )


def _repeated(data: ImageData, spec: NetworkSpec) -> list[str]:
    if data.channels == spec.channels:
        return []
    return [f"grey images are repeated to the {spec.channels} channels that the network takes"]


def own_answers(
    data: ImageData, network: ResidualNetwork, normalisation: Normalisation, spec: NetworkSpec
) -> ImageData:
    """Return unlabelled images with what the network says of them."""
    network.module.eval()
    told = [
        answers(
            network.module,
            Batches(
                images, batch_size=64, device="cpu", normalisation=normalisation,
                channels=spec.channels,
            ),
        )
        for images in (data.train, data.validation)
    ]  # fmt: skip
    classes = spec.classes or 1 + max(int(labels.max()) for labels in told)
    train, validation = told
    return data.answered(train, validation, classes=classes)
