"""Running a branch on some samples of a batch only, and adding what it gives to those.

Samples are rows of the first dimension. Both steps are autograd functions of their own: a gradient
is then gathered and summed in one pass over the samples concerned, and tensors in channels_last
memory stay so, where the operators for rows would make them contiguous.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def split_samples(x: Tensor, samples: Tensor, *, own_gradient: bool) -> tuple[Tensor, Tensor]:
    """Return `x` [B, ...] itself and a copy [k, ...] of the samples named.

    Whoever goes on with both must use the `x` returned: gradients of the two meet here.

    Args:
        x: a tensor whose first dimension is the batch.
        samples: k different numbers in [0, B), on the device of `x`.
        own_gradient: whether nobody else holds the gradient of the `x` returned: nothing reads
            that `x`, or `add_to_samples` with its ReLU alone. It is then added to where it lies.
    """
    return _SplitSamples.apply(x, samples, own_gradient)  # type: ignore[no-any-return, no-untyped-call]


def add_to_samples(x: Tensor, part: Tensor, samples: Tensor, *, relu: bool = False) -> Tensor:
    """Return a copy of `x` [B, ...] with `part` [k, ...] added to the samples named.

    Args:
        x: the shortcut.
        part: the branch, computed on k samples.
        samples: as in `split_samples`.
        relu: whether to return the ReLU of that sum instead.
    """
    if part.shape[1:] != x.shape[1:]:  # one value per channel, say
        part = part.expand(len(part), *x.shape[1:])
    dtype = torch.promote_types(x.dtype, part.dtype)  # they differ under autocast
    return _AddToSamples.apply(  # type: ignore[no-any-return, no-untyped-call]
        x.to(dtype), part.to(dtype), samples, relu
    )


class _SplitSamples(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, samples: Tensor, own_gradient: bool) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(samples)
        ctx.own_gradient = own_gradient
        return x.view_as(x), _take(x, samples)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        whole, part = gradients
        # A gradient that is itself differentiated is read again.
        mine = ctx.own_gradient and not torch.is_grad_enabled()
        return _added(whole if mine else whole.clone(), part, *ctx.saved_tensors), None, None


class _AddToSamples(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, part: Tensor, samples: Tensor, relu: bool) -> Tensor:
        out = _added(x.clone(), part, samples)
        ctx.relu = relu
        ctx.save_for_backward(samples, *([out.relu_()] if relu else []))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (whole,) = gradients
        samples, *out = ctx.saved_tensors
        if ctx.relu:
            whole = torch.ops.aten.threshold_backward(whole, out[0], 0)
        return whole, _take(whole, samples), None, None


def _take(x: Tensor, samples: Tensor) -> Tensor:
    if _rows_are_dense(x):
        return x.index_select(0, samples)
    return x.movedim(1, -1).index_select(0, samples).movedim(-1, 1)


def _added(x: Tensor, part: Tensor, samples: Tensor) -> Tensor:
    """Add in place; return `x`."""
    if _rows_are_dense(x):
        return x.index_add_(0, samples, part)
    x.movedim(1, -1).index_add_(0, samples, part.movedim(1, -1))
    return x


def _rows_are_dense(x: Tensor) -> bool:
    return x.is_contiguous() or x.ndim < 3
