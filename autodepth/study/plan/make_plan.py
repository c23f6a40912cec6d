"""From what a person asked for to a study that can run: everything resolved, nothing trained."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from autodepth.data.load import ImageData
from autodepth.data.settings import SplitRule
from autodepth.errors import InputError
from autodepth.front.objective import Objective
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.values import shown
from autodepth.space.objectives import MEMORY
from autodepth.space.search_space import SearchSpace
from autodepth.space.sections.task_section import CLASSIFICATION
from autodepth.study.plan.estimate import (
    StepTime,
    TrialCost,
    constraint_verdict,
    macs_range,
    typical_policy,
)
from autodepth.study.plan.inputs.examples import (
    OWN_ANSWERS,
    affordable,
    check_nodes,
    coarse_validation,
    own_answers,
    preparation,
    read_examples,
    seen_by_weights,
)
from autodepth.study.plan.inputs.fitted_space import (
    channels_told,
    sized_as_weights,
    weights_told,
    with_absolute_paths,
    without_idle_dimensions,
    without_idle_streams,
    without_idle_widths,
)
from autodepth.study.plan.inputs.network import planned_network
from autodepth.study.plan.metric_names import check_metrics_port
from autodepth.study.plan.plan import PlanRequest, StudyPlan
from autodepth.study.plan.resources import Resources, choose_resources
from autodepth.study.plan.timing import latency_tables_of, time_on_a_place
from autodepth.trial.context import TrialContext
from autodepth.trial.device.activation_memory import peak_memory_mb
from autodepth.trial.device.latency_table import LatencyTable
from autodepth.trial.phases.measuring.measurement import memory_metrics

if TYPE_CHECKING:
    from autodepth.study.cluster.cluster import Cluster


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
    resources = _reserved(space, request, cluster)
    space, of_size = sized_as_weights(with_absolute_paths(space))
    space, of_space = without_idle_dimensions(space)
    weights = None if space.network.weights is None else Path(space.network.weights)
    weights_key = space.network.weights_key
    space, learns, data, automatic = read_examples(space, request, split_rule)
    notes, unlabelled = [*of_size, *data.notes], data.settings.unlabelled
    if cluster is not None:
        check_nodes(cluster, data, learns)
    spec, network = planned_network(space, data, learns, own_code=request.own_code)
    space, of_widths = without_idle_widths(space, network)
    space, of_stream = without_idle_streams(space, network)
    notes += seen_by_weights(data, weights)
    of_space += [*of_widths, *of_stream, *channels_told(space, network)]
    of_space += weights_told(space, network)
    timed = time_on_a_place(spec, network, typical_policy(space, network), resources, cluster)
    cost = _trial_cost(space, network, timed.step_time, resources.ranks)
    if automatic and isinstance(data, ImageData):
        seconds = request.budget.seconds_left(resources.devices) * resources.count
        data, note = affordable(data, cost, seconds)
        notes += note
    notes += coarse_validation(data)
    _check_commands(space, request)
    tables = latency_tables_of(space, spec, network, resources, cluster, known=latency_tables or {})
    unpruned = _unpruned(space, network, tables)
    bounds = {
        str(bound): constraint_verdict(bound, network, space, tables.get(bound.metric))
        for bound in space.constraints
    }
    normalisation, augmentation, told = preparation(data, spec, weights)
    notes += told
    if unlabelled and isinstance(data, ImageData):
        data = own_answers(data, network, normalisation, spec)
        notes.append(OWN_ANSWERS)
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


def _reserved(space: SearchSpace, request: PlanRequest, cluster: Cluster | None) -> Resources:
    """Return what trials reserve.

    Raises:
        InputError: there is no such room, or the system or the task cannot do what is asked for.
    """
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
    if space.task.name != CLASSIFICATION and resources.ranks > 1:
        # Their losses are no means over the examples of a batch.
        raise InputError(
            f"only classification trains in several processes per trial, but --per-trial asks for "
            f"{resources.ranks}"
        )
    return resources


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
