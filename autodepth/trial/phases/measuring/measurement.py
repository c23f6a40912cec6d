"""What a finished network costs: MACs, parameters, file size, latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from autodepth.networks.pruning.magnitude import effective_macs
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.space.objectives import MEMORY
from autodepth.tasks.classification import CLASSIFICATION
from autodepth.tasks.task import Task
from autodepth.trial.context import TrialContext
from autodepth.trial.device.activation_memory import peak_memory_mb
from autodepth.trial.device.latency import own_latency_ms
from autodepth.trial.device.runtimes.places import latencies_at
from autodepth.trial.result import OperatingPoint
from autodepth.trial.training.evaluation import Evaluation

Elsewhere: TypeAlias = tuple[Mapping[str, float], Mapping[str, str]]
"""Costs by metric, and why others are unknown."""


def operating_point(
    network: ResidualNetwork,
    evaluation: Evaluation,
    *,
    size_bytes: int,
    latency: float | None = None,
    elsewhere: Elsewhere = ({}, {}),
    task: Task = CLASSIFICATION,
) -> OperatingPoint:
    """Measure a network that will not change any more.

    Args:
        network: the network, on its device, in evaluation mode.
        evaluation: its accuracy and loss on the validation split.
        size_bytes: size of its weights file.
        latency: milliseconds per image, where it was measured already; None measures it.
        elsewhere: what other costs are known, by metric, and why others are not.
        task: by which it was evaluated.
    """
    return OperatingPoint(
        validation_accuracy=evaluation.accuracy,
        validation_loss=evaluation.loss,
        macs=network.total_macs,
        effective_macs=effective_macs(network),
        parameters=network.total_parameters,
        size_bytes=size_bytes,
        latency_ms=own_latency_ms(network) if latency is None else latency,
        elsewhere=elsewhere[0],
        unknown=elsewhere[1],
        **told_by(evaluation, task),
    )


def costs_elsewhere(
    network: ResidualNetwork,
    whole: ResidualNetwork,
    context: TrialContext,
    file: Path | None = None,
) -> Elsewhere:
    """Return peak memory and the latencies at places, by metric, and why others are unknown.

    Args:
        network: the network, on its device, in evaluation mode.
        whole: before anything was removed, on the same device.
        context: says which are asked for.
        file: the network in ONNX, where it is that which counts.
    """
    known, unknown = latencies_at(
        context.places, network, whole, context.latency_tables, context.device, file
    )
    for metric, batch in memory_metrics(context.memory_batches):
        known[metric] = peak_memory_mb(network.module, network.input_shape, batch)
    return known, unknown


def memory_metrics(batches: Sequence[int]) -> list[tuple[str, int]]:
    """Return the names of peak memory with the batch of each, single images first."""
    return [(MEMORY, 1), *((f"{MEMORY}@{batch}", batch) for batch in batches)]


def told_by(evaluation: Evaluation, task: Task) -> dict[str, Any]:
    """Return what an evaluation by another task than classification says more, by field."""
    if not evaluation.metrics:
        return {}
    metrics = {f"validation_{name}": value for name, value in evaluation.metrics.items()}
    leading = next(iter(task.metrics.values()))
    about = {"metric": next(iter(metrics)), "unit": leading.unit, "goal": leading.goal}
    return {"metrics": metrics, **about}
