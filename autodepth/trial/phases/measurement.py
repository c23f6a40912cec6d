"""What a finished network costs: MACs, parameters, file size, latency."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.benchmark import Timer

from autodepth.networks.pruning.magnitude import effective_macs
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.tasks.classification import CLASSIFICATION
from autodepth.tasks.task import Task
from autodepth.trial.result import OperatingPoint
from autodepth.trial.training.evaluation import Evaluation

# Long enough for a stable median of a small network, short beside the training of a trial.
_LATENCY_SECONDS = 0.2


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
        latency_ms=latency_ms(network.module, network.input_shape) if latency is None else latency,
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


@torch.inference_mode()
def latency_ms(module: nn.Module, input_shape: tuple[int, int, int], batch: int = 1) -> float:
    """Return the median time of one forward pass in milliseconds, on the module's device.

    Args:
        module: a network in evaluation mode.
        input_shape: (C, H, W) of the images.
        batch: images per pass.
    """
    device = next(module.parameters()).device
    images = torch.zeros(batch, *input_shape, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    module(images)
    timer = Timer(
        "module(images)",
        globals={"module": module, "images": images},
        num_threads=torch.get_num_threads(),
    )
    return timer.blocked_autorange(min_run_time=_LATENCY_SECONDS).median * 1e3
