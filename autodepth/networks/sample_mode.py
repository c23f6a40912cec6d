"""Running a branch on some samples of a batch only, and adding what it gives to those.

Samples are rows of the first dimension. Both steps are autograd functions of their own: a gradient
is then gathered and summed in one pass over the samples concerned, and tensors in channels_last
memory stay so, where the operators for rows would make them contiguous.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def split_samples(x: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
    """Return `x` [B, ...] itself and a copy [k, ...] of the samples named.

    Whoever goes on with both must use the `x` returned: gradients of the two meet here.

    Args:
        x: a tensor whose first dimension is the batch.
        samples: k different numbers in [0, B), on the device of `x`.
    """
    return _SplitSamples.apply(x, samples)  # type: ignore[no-any-return, no-untyped-call]


def add_to_samples(x: Tensor, part: Tensor, samples: Tensor) -> Tensor:
    """Return a copy of `x` [B, ...] with `part` [k, ...] added to the samples named."""
    if part.shape[1:] != x.shape[1:]:  # one value per channel, say
        part = part.expand(len(part), *x.shape[1:])
    dtype = torch.promote_types(x.dtype, part.dtype)  # they differ under autocast
    return _AddToSamples.apply(  # type: ignore[no-any-return, no-untyped-call]
        x.to(dtype), part.to(dtype), samples
    )


class _SplitSamples(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(samples)
        return x.view_as(x), _take(x, samples)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        whole, part = gradients
        return _add(whole, part, *ctx.saved_tensors), None


class _AddToSamples(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, part: Tensor, samples: Tensor) -> Tensor:
        ctx.save_for_backward(samples)
        return _add(x, part, samples)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (whole,) = gradients
        return whole, _take(whole, *ctx.saved_tensors), None


def _take(x: Tensor, samples: Tensor) -> Tensor:
    if _rows_are_dense(x):
        return x.index_select(0, samples)
    return x.movedim(1, -1).index_select(0, samples).movedim(-1, 1)


def _add(x: Tensor, part: Tensor, samples: Tensor) -> Tensor:
    if _rows_are_dense(x):
        return x.index_add(0, samples, part)
    return x.movedim(1, -1).index_add(0, samples, part.movedim(1, -1)).movedim(-1, 1)


def _rows_are_dense(x: Tensor) -> bool:
    return x.is_contiguous() or x.ndim < 3
