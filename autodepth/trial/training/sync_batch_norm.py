"""Batch normalisation by the statistics of a whole batch whose rows are on several ranks.

torch's own `SyncBatchNorm` computes on GPUs alone and takes the place of layers. Here the layers
stay, under their names; for as long as a training lasts they normalise another way. In evaluation
nothing differs.

Means and squared deviations of the parts are joined by the formula of Chan et al. 1979, so no
precision is lost in differences of large sums; the gradient is that of one process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn

from autodepth.networks.gates.batch_statistics import BATCH_NORMS


@contextmanager
def norms_over_ranks(module: nn.Module) -> Iterator[None]:
    """Let every batch norm of a network take its statistics from all ranks of the process group.

    All ranks must call the same layers in the same order, with rows of the same shape; a rank may
    have none.
    """
    norms = [part for part in module.modules() if isinstance(part, BATCH_NORMS)]
    for norm in norms:
        vars(norm)["forward"] = MethodType(_forward, norm)
    try:
        yield
    finally:
        for norm in norms:
            del vars(norm)["forward"]


class _Statistics(NamedTuple):
    mean: Tensor  # [C]
    variance: Tensor  # [C], biased
    values: float  # per channel, of all ranks


def _forward(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Map x [B, C, ...] to the same shape; B is this rank's."""
    if not norm.training:
        return type(norm).forward(norm, x)
    found = _statistics(x.detach())
    if found.values < 2:
        raise ValueError(f"a batch norm needs more than 1 value per channel, got {tuple(x.shape)}")
    if norm.track_running_stats:
        _keep(norm, found)
    weight = torch.ones_like(found.mean) if norm.weight is None else norm.weight
    bias = torch.zeros_like(found.mean) if norm.bias is None else norm.bias
    return _Normalise.apply(x, weight, bias, *found, norm.eps)  # type: ignore[no-any-return, no-untyped-call]


def _statistics(x: Tensor) -> _Statistics:
    rows = x.float()
    sums = rows.sum(_others(x), dtype=torch.float64)
    count = x.numel() // x.shape[1]
    mean = sums / max(1, count)
    deviations = (
        (rows - _wide(mean.to(rows.dtype), x)).square().sum(_others(x), dtype=torch.float64)
    )
    own = torch.cat([mean, deviations, mean.new_tensor([count])])
    parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, own)
    together = torch.stack(parts)
    means, squares, counts = together[:, : len(mean)], together[:, len(mean) : -1], together[:, -1:]
    total = float(counts.sum())
    joint = (counts * means).sum(0) / total
    spread = (squares + counts * (means - joint).square()).sum(0)
    return _Statistics(joint.float(), (spread / total).float(), total)


@torch.no_grad()
def _keep(norm: nn.BatchNorm2d, found: _Statistics) -> None:
    """Move the running statistics as the layer itself would."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    momentum = norm.momentum
    if momentum is None:
        momentum = 1.0 / float(norm.num_batches_tracked)
    unbiased = found.variance * (found.values / (found.values - 1))
    norm.running_mean.lerp_(found.mean.to(norm.running_mean), momentum)
    norm.running_var.lerp_(unbiased.to(norm.running_var), momentum)


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        count: float,
        eps: float,
    ) -> Tensor:
        scale = (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.count = count
        normal = (x.float() - _wide(mean, x)) * _wide(scale, x)
        return (normal * _wide(weight, x) + _wide(bias, x)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        gradient = gradients[0].float()
        normal = (x.float() - _wide(mean, x)) * _wide(scale, x)
        of_weight = (gradient * normal).sum(_others(x))
        of_bias = gradient.sum(_others(x))
        sums = torch.stack([of_weight, of_bias])
        distributed.all_reduce(sums)
        by_weight, by_bias = sums / ctx.count
        inner = gradient - _wide(by_bias, x) - normal * _wide(by_weight, x)
        of_x = (inner * _wide(weight * scale, x)).to(x.dtype)
        # Those of the parameters are added over ranks later, with all others.
        return of_x, of_weight.to(weight.dtype), of_bias.to(weight.dtype), None, None, None, None


def _others(x: Tensor) -> list[int]:
    """Return all dimensions but that of the channels."""
    return [d for d in range(x.ndim) if d != 1]


def _wide(values: Tensor, x: Tensor) -> Tensor:
    """Return values per channel in a shape that spreads over x."""
    return values.view(1, -1, *[1] * (x.ndim - 2))
