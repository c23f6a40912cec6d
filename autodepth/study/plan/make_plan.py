"""From what a person asked for to a study that can run: everything resolved, nothing trained."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from autodepth.data.batches import Batches
from autodepth.data.load import ImageData, load_data
from autodepth.data.prepare import Augmentation, resolve_augment
from autodepth.data.settings import Normalisation, SplitRule
from autodepth.errors import InputError
from autodepth.front.objective import Objective
from autodepth.networks.catalogue import NetworkSpec, build_network, complete, default_classes
from autodepth.networks.catalogue.image_channels import with_channels
from autodepth.networks.catalogue.own_builder import code_folder
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.values import shown
from autodepth.space.domains import Fixed, largest_value
from autodepth.space.objectives import MEMORY
from autodepth.space.search_space import SearchSpace
from autodepth.space.sections.task_section import CLASSIFICATION
from autodepth.study.cluster.shipping import pack
from autodepth.study.plan.estimate import (
    StepTime,
    TrialCost,
    constraint_verdict,
    macs_range,
    typical_policy,
)
from autodepth.study.plan.fitted_space import (
    sized_as_weights,
    weights_told,
    with_absolute_paths,
    without_idle_dimensions,
    without_idle_streams,
    without_idle_widths,
)
from autodepth.study.plan.metric_names import check_metrics_port
from autodepth.study.plan.plan import PlanRequest, StudyPlan
from autodepth.study.plan.resources import Resources, choose_resources
from autodepth.study.plan.timing import latency_tables_of, time_on_a_place
from autodepth.tasks.first_step import data_settings, read_task, try_task
from autodepth.tasks.in_space import with_task_metrics
from autodepth.tasks.own_task import TaskSpec, make_task
from autodepth.tasks.shipped.measures.of_classes import class_measures
from autodepth.tasks.task_data import TaskData
from autodepth.trial.context import TrialContext
from autodepth.trial.device.activation_memory import peak_memory_mb
from autodepth.trial.device.latency_table import LatencyTable
from autodepth.trial.phases.given_normalisation import choose_normalisation
from autodepth.trial.phases.measuring.measurement import memory_metrics
from autodepth.trial.training.evaluation import answers

if TYPE_CHECKING:
    from autodepth.study.cluster.cluster import Cluster

_ANSWERS = (
    "labels are the answers of the network given: accuracy is how often a network answers "
    "as it does, and says nothing of how often either is right"
)
_ENOUGH_VALIDATION = 200  # images: steps of half a point
# `train_images: auto` takes as many images as let the budget buy this many trials.
_WANTED_TRIALS = 10
_FEWEST_PER_CLASS = 10


def make_plan(
    space: SearchSpace,
    request: PlanRequest,
    *,
    cluster: Cluster | None = None,
    latency_tables: Mapping[str, LatencyTable] | None = None,
    split_rule: SplitRule = "content",
) -> StudyPlan:
    """Load the data, build the network, time a step, and check that the wishes can be met.

    Args:
        space: what is searched.
        request: what may be spent on it, and on what.
        cluster: where trials run; None for this machine.
        latency_tables: those of the network, by metric, that were measured already; those of
            another device or number of threads are measured anew.
        split_rule: how a folder is split; a study goes on with the one it began with.

    Raises:
        InputError: data, network, weights, budget, constraints or $AUTODEPTH_METRICS_PORT cannot
            be used.
    """
    check_metrics_port()
    resources = choose_resources(
        request.budget.device,
        request.concurrency,
        cluster.nodes if cluster else (),
        request.per_trial,
    )
    if space.limits.memory is not None and sys.platform != "linux":
        raise InputError(
            f"limits.memory needs Linux, which counts it, but this is {sys.platform}: leave it out"
        )
    space, of_size = sized_as_weights(with_absolute_paths(space))
    space, of_space = without_idle_dimensions(space)
    weights = None if space.network.weights is None else Path(space.network.weights)
    weights_key = space.network.weights_key
    if space.task.name != CLASSIFICATION:
        _check_ranks(resources)
    space, learns, data, automatic = _learned(space, request, split_rule)
    notes, unlabelled = [*of_size, *data.notes], data.settings.unlabelled
    if cluster is not None:
        _check_nodes(cluster, data, learns)
    spec = NetworkSpec(
        name=space.network.name,
        classes=default_classes(space.network.name) if unlabelled else data.outputs,
        channels=data.channels,
        height=data.height,
        width=data.width,
        shortcut=space.network.shortcut,
        arguments=dict(space.network.arguments),
        free=space.network.free,
        channel_multiple=space.network.channel_multiple,
        own_code=request.own_code,
    )
    if not learns.is_own:
        spec = with_channels(spec, weights=weights, weights_key=weights_key)
    spec = complete(spec)
    network = build_network(spec, seed=space.seed, weights=weights, weights_key=weights_key)
    if not learns.is_classification:
        try_task(
            make_task(learns).for_network(spec),
            network.without(()).module.eval(),
            distils=_distils(space),
        )
    spec = replace(spec, code_folder=code_folder(spec.name))  # workers are elsewhere
    space, of_widths = without_idle_widths(space, network)
    space, of_stream = without_idle_streams(space, network)
    notes += _seen(data, weights)
    of_space += [*of_widths, *of_stream, *weights_told(space, network)]
    timed = time_on_a_place(spec, network, typical_policy(space, network), resources, cluster)
    cost = _trial_cost(space, network, timed.step_time, resources.ranks)
    if automatic and isinstance(data, ImageData):
        seconds = request.budget.seconds_left(resources.devices) * resources.count
        data, note = _affordable(data, cost, seconds)
        notes += note
    notes += _coarse(data)
    _check_commands(space, request)
    tables = latency_tables_of(space, spec, network, resources, cluster, known=latency_tables or {})
    unpruned = _unpruned(space, network, tables)
    bounds = {
        str(bound): constraint_verdict(bound, network, space, tables.get(bound.metric))
        for bound in space.constraints
    }
    normalisation, augmentation, told = _preparation(data, spec, weights)
    notes += told
    if unlabelled and isinstance(data, ImageData):
        data = _own_answers(data, network, normalisation, spec)
        notes.append(_ANSWERS)
    context = TrialContext(
        spec=spec,
        weights=weights,
        weights_key=weights_key,
        data=data,
        normalisation=normalisation,
        augmentation=augmentation,
        learns=learns,
        sensitivity_images=space.sensitivity_images,
        device=resources.torch_device,
        threads=resources.threads,
        seed=space.seed,
        latency_tables=tables,
        places=space.places,
        memory_batches=_memory_batches(space),
    )
    return StudyPlan(
        space=space,
        budget=request.budget,
        resources=resources,
        network=network,
        unpruned=unpruned,
        objectives=_objectives(space, unpruned),
        context=context,
        seconds_per_trial=cost.seconds(len(data.train), len(data.validation)),
        bounds=bounds,
        hardware=timed.hardware,
        notes=(*of_space, *notes, *network.notes, *(cluster.notes if cluster else ())),
        of_space=tuple(of_space),
        cluster=cluster,
    )


def _learned(
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


def _trial_cost(
    space: SearchSpace, network: ResidualNetwork, step_time: StepTime, ranks: int
) -> TrialCost:
    return TrialCost(
        policy=typical_policy(space, network),
        network=network,
        macs_range=macs_range(network, space),
        step_time=replace(step_time, training=step_time.training / ranks),
        scoring_images=space.sensitivity_images,
    )


def _affordable(
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


def _seen(data: ImageData | TaskData, weights: Path | None) -> list[str]:
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


def _own_answers(
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


def _check_ranks(resources: Resources) -> None:
    """Refuse several processes for what is no mean over the examples of a batch."""
    if resources.ranks > 1:
        raise InputError(
            f"only classification trains in several processes per trial, but --per-trial asks for "
            f"{resources.ranks}"
        )


def _check_nodes(cluster: Cluster, data: ImageData | TaskData, learns: TaskSpec) -> None:
    """Refuse nodes that lack what does not travel to them.

    Raises:
        ClusterError: some do.
    """
    if isinstance(data, TaskData):
        files = pack(NetworkSpec(name=learns.name), learns=learns)
        cluster.check_examples(learns, files, data.fingerprint)
    elif data.a_file is not None:
        cluster.check_sees(data.a_file)


def _distils(space: SearchSpace) -> bool:
    domain = next((d.domain for d in space.dimensions if d.name == "distillation"), Fixed(0.0))
    return bool(largest_value(domain))


def _preparation(
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


def _coarse(data: ImageData | TaskData) -> list[str]:
    """Say where validation is too small to tell networks apart that differ by a point or two."""
    validation = len(data.validation)
    if isinstance(data, TaskData) or validation >= _ENOUGH_VALIDATION:
        return []
    return [
        f"with {validation:,} images to validate, accuracy moves in steps of "
        f"{100 / validation:.1f} points; a larger data.validation makes them finer"
    ]


def _check_commands(space: SearchSpace, request: PlanRequest) -> None:
    """Refuse a space file's programs, unless a person allows them."""
    if request.own_task:
        return
    for name, place in space.places.items():
        if place.command is not None:
            raise InputError(
                f"latency.{name}.command is a program that the space file names: look at it, and "
                f"allow it with --own-code: {shown(place.command)}"
            )


def _memory_batches(space: SearchSpace) -> tuple[int, ...]:
    named = (metric.partition("@") for metric in space.asked)
    return tuple(sorted({int(batch) for name, at, batch in named if name == MEMORY and at}))


def _unpruned(
    space: SearchSpace, network: ResidualNetwork, tables: Mapping[str, LatencyTable]
) -> dict[str, float]:
    """Return what the untouched network costs; its latencies only where something asks for them."""
    costs = {
        "macs": float(network.total_macs),
        "effective_macs": float(network.total_macs),
        "parameters": float(network.total_parameters),
        "size_bytes": float(4 * network.total_parameters),
    }
    batches = _memory_batches(space)
    if MEMORY in space.asked or batches:
        module = network.without(()).module.eval()
        for metric, batch in memory_metrics(batches):
            costs[metric] = peak_memory_mb(module, network.input_shape, batch)
    return costs | {metric: table.whole_ms for metric, table in tables.items()}


def _objectives(space: SearchSpace, unpruned: Mapping[str, float]) -> tuple[Objective, ...]:
    return tuple(
        Objective(
            name=section.name,
            goal=section.goal,
            reference=section.reference.of(unpruned.get(section.name, 1.0)),
        )
        for section in space.objectives
    )
