"""Multiply-accumulates, counted one way: FlopCounterMode / 2 on one image in evaluation mode.

Counted are convolutions, matrix products and attention; biases, normalisation, activations and
pooling are free by convention. An operator that is neither counted nor known to be free is an
error with its name, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from autodepth.errors import NetworkError

# Operators without multiply-accumulates of the convention that carry no tag saying so.
# fmt: off
_FREE = frozenset({
    "_adaptive_avg_pool2d", "_batch_norm_impl_index", "_batch_norm_no_update",
    "_local_scalar_dense", "_log_softmax", "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training", "_safe_softmax", "_softmax", "_to_copy",
    "_unsafe_index", "_unsafe_view", "_upsample_bicubic2d_aa", "adaptive_avg_pool2d",
    "adaptive_max_pool2d", "amax", "aminmax", "arange", "argmax", "as_strided_", "avg_pool2d",
    "batch_norm_with_update", "bernoulli_", "cat", "clone", "col2im", "constant_pad_nd", "copy_",
    "cudnn_batch_norm", "cumsum", "detach", "empty", "empty_like", "expand_as", "fill_", "flip",
    "full", "full_like", "gather", "group_norm", "hardswish", "hardtanh", "im2col", "index",
    "index_put_", "index_select", "linalg_vector_norm", "max", "max_pool2d",
    "max_pool2d_with_indices", "mean", "min", "miopen_batch_norm", "native_batch_norm",
    "native_batch_norm_backward", "native_dropout", "native_group_norm", "native_layer_norm",
    "new_empty", "new_ones", "new_zeros", "ones", "ones_like", "pad", "pixel_shuffle",
    "pixel_unshuffle", "reflection_pad2d", "repeat", "roll", "scalar_tensor", "scatter",
    "scatter_add", "select_backward", "slice_backward", "sort", "split", "split_with_sizes",
    "stack", "std", "sum", "topk", "tril", "triu", "unbind", "unfold", "upsample_bicubic2d",
    "upsample_bilinear2d", "upsample_nearest2d", "var", "var_mean", "where", "zero_", "zeros",
    "zeros_like",
})
# fmt: on


def _cpu_attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Count attention on the CPU like its CUDA kin; torch knows only the latter by default."""
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _lstm_flops(steps: Any, input_weight: Any, hidden_weight: Any, *_: Any, **__: Any) -> int:
    """Count one layer of an LSTM on the CPU: both products in every step, shapes [T, B, C]."""
    per_step = math.prod(input_weight) + math.prod(hidden_weight)
    return int(2 * steps[0] * steps[1] * per_step)


_ON_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _cpu_attention_flops,  # noqa: SLF001
    torch.ops.aten.mkldnn_rnn_layer: _lstm_flops,
}


def count_macs(module: nn.Module, example: Tensor) -> int:
    """Return multiply-accumulates per image of a network in evaluation mode.

    Args:
        module: the materialised network; its training flag is restored.
        example: one image [1, C, H, W] on the module's device.

    Raises:
        NetworkError: an operator can neither be counted nor is known to be free.
    """
    with evaluating(module), counting() as macs_so_far:
        module(example)
    return macs_so_far()


@contextmanager
def counting() -> Iterator[Callable[[], int]]:
    """Count inside the block; the value is a function that tells the multiply-accumulates so far.

    Gradients stay enabled, since without them attention takes fused kernels that count as 0.
    """
    counter = FlopCounterMode(display=False, custom_mapping=_ON_CPU)
    with torch.enable_grad(), _RefuseUnknown(set(counter.flop_registry)), counter:
        yield lambda: int(counter.get_total_flops()) // 2


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode inside the block and restore every flag after it."""
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, flag in training.items():
            part.training = flag


class _RefuseUnknown(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises at the first operator that is neither counted nor known to be free."""

    def __init__(self, counted: set[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._counted = counted

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet = func._overloadpacket  # noqa: SLF001 - the only way to an operator's name
        if packet not in self._counted and not _is_free(func):
            raise NetworkError(
                f"operator {packet} cannot be counted: autodepth knows neither its "
                "multiply-accumulates nor that it is free; replace it by a known one"
            )
        return func(*args, **(kwargs or {}))


def _is_free(operator: Any) -> bool:
    name = operator._overloadpacket.__name__  # noqa: SLF001
    if (
        operator.namespace == "prim"
        or operator.is_view
        or torch.Tag.pointwise in operator.tags
        or name in _FREE
    ):
        return True
    # Some operators in place (hardswish_) lack the tag that the plain one carries.
    plain = getattr(torch.ops.aten, name.removesuffix("_"), None) if name.endswith("_") else None
    return plain is not None and any(
        _is_free(getattr(plain, overload)) for overload in plain.overloads()
    )
