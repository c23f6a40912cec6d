"""Batch norms that take the statistics of the images at hand, as after removal they have to.

The statistics a norm was trained with are those of the whole network: without the branches before
it, its inputs have others. Eight branches of a trained ResNet-56 that are chosen and left out
with the old ones leave 48 % of CIFAR-10 right, with new ones 65 %
(benchmarks/results/masks_judged.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import torch
from torch import Tensor, nn

BatchNorm: TypeAlias = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
FEWEST_IMAGES = 16
"""Of fewer images the statistics say less than those of training, which are taken then."""


@contextmanager
def batch_statistics(module: nn.Module, images: int) -> Iterator[None]:
    """Let the batch norms of a network normalise each batch by its own mean and variance.

    What they keep stays as it was. Norms that stay in evaluation while the network trains go on as
    they are, and so do all of them where there are fewer than `FEWEST_IMAGES`.

    Args:
        module: in evaluation mode.
        images: in a batch, at least.
    """
    norms = following_batches(module) if images >= FEWEST_IMAGES else []
    kept = [(norm.momentum, _copy(norm.num_batches_tracked)) for norm in norms]
    # Where ranks train together, norms ask the others; this batch is of one process alone.
    over_ranks = [vars(norm).pop("forward", None) for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 0.0  # running statistics move by nothing
    try:
        yield
    finally:
        for norm, (momentum, count), forward in zip(norms, kept, over_ranks, strict=True):
            norm.eval()
            norm.momentum, norm.num_batches_tracked = momentum, count
            if forward is not None:
                vars(norm)["forward"] = forward


@contextmanager
def without_memory(module: nn.Module) -> Iterator[None]:
    """Let the batch norms of a network in training keep no statistics of what it is run on."""
    norms = [m for m in module.modules() if isinstance(m, BATCH_NORMS) and m.training]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def following_batches(module: nn.Module) -> list[BatchNorm]:
    """Return the batch norms that take the statistics of batches while a network trains.

    The network is in evaluation mode afterwards.
    """
    module.train()
    norms = [m for m in module.modules() if isinstance(m, BATCH_NORMS) and m.training]
    module.eval()
    return norms


def _copy(count: Tensor | None) -> Tensor | None:
    return None if count is None else torch.clone(count)
