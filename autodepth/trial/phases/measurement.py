"""What a finished network costs: MACs, parameters, file size, latency."""

from __future__ import annotations

from typing import Any

from autodepth.networks.pruning.magnitude import effective_macs
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.tasks.classification import CLASSIFICATION
from autodepth.tasks.task import Task
from autodepth.trial.device.latency import own_latency_ms
from autodepth.trial.result import OperatingPoint
from autodepth.trial.training.evaluation import Evaluation


def operating_point(
    network: ResidualNetwork,
    evaluation: Evaluation,
    *,
    size_bytes: int,
    latency: float | None = None,
    task: Task = CLASSIFICATION,
) -> OperatingPoint:
    """Measure a network that will not change any more.

    Args:
        network: the network, on its device, in evaluation mode.
        evaluation: its accuracy and loss on the validation split.
        size_bytes: size of its weights file.
        latency: milliseconds per image, where it was measured already; None measures it.
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
        **told_by(evaluation, task),
    )


def told_by(evaluation: Evaluation, task: Task) -> dict[str, Any]:
    """Return what an evaluation by another task than classification says more, by field."""
    if not evaluation.metrics:
        return {}
    metrics = {f"validation_{name}": value for name, value in evaluation.metrics.items()}
    leading = next(iter(task.metrics.values()))
    about = {"metric": next(iter(metrics)), "unit": leading.unit, "goal": leading.goal}
    return {"metrics": metrics, **about}
