"""What operators of torch cost: formulas for those that multiply matrices, and which are free.

Formulas give FLOPs, 2 per multiply-accumulate, from shapes, as torch.utils.flop_counter has them.
Letters: B batch, T steps, N points, D their dimension, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch.utils.flop_counter import flop_registry, sdpa_flop_count, shape_wrapper

_Shape: TypeAlias = Sequence[int]


def _attention(query: _Shape, key: _Shape, value: _Shape, *_: Any, **__: Any) -> int:
    """Count attention on the CPU like its CUDA kin; torch knows only the latter by default."""
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _recurrent(
    steps: _Shape, input_weight: _Shape, hidden_weight: _Shape, *_: Any, **__: Any
) -> int:
    """Count one direction of one LSTM layer on the CPU: both products in every step."""
    return 2 * math.prod(steps[:-1]) * (math.prod(input_weight) + math.prod(hidden_weight))


def _all_recurrent(steps: _Shape, weights: Sequence[_Shape], *_: Any, **__: Any) -> int:
    """Count all recurrent layers on a GPU: each matrix once in every step; biases are free."""
    return 2 * math.prod(steps[:-1]) * sum(math.prod(w) for w in weights if len(w) > 1)


def _dot(first: _Shape, _second: _Shape, **_: Any) -> int:
    """Count the product of a vector, or of a matrix, with a vector."""
    return 2 * math.prod(first)


def _add_matrix_vector(_added: _Shape, matrix: _Shape, _vector: _Shape, **_: Any) -> int:
    return 2 * math.prod(matrix)


def _sum_of_products(_added: _Shape, first: _Shape, second: _Shape, **_: Any) -> int:
    """Count the sum of a batch of matrix products."""
    return 2 * math.prod(first) * int(second[2])


def _trilinear(first: _Shape, second: _Shape, third: _Shape, *unsqueezed: _Shape, **_: Any) -> int:
    """Count what nn.Bilinear is made of: one for every weight and position."""
    shapes = [list(shape) for shape in (first, second, third)]
    for shape, places in zip(shapes, unsqueezed, strict=False):
        for place in sorted(places):
            shape.insert(place, 1)
    return int(2 * math.prod(max(sizes) for sizes in zip(*shapes, strict=True)))


def _distances(first: _Shape, second: _Shape, *_: Any, **__: Any) -> int:
    """Count distances between all pairs of two sets, [*, N, D] and [*, M, D]."""
    return 2 * math.prod(first) * int(second[-2])


def _own_distances(points: _Shape, *_: Any, **__: Any) -> int:
    """Count distances within one set [N, D], each pair once."""
    return int(points[0] * (points[0] - 1) * points[1])


def _affine_grid(matrices: _Shape, size: _Shape, *_: Any, **__: Any) -> int:
    """Count the product of every position of an image [B, C, *size] with a matrix of B."""
    return 2 * math.prod(matrices) * math.prod(size[2:])


def _quantised_products(first: _Shape, second: _Shape, **_: Any) -> int:
    return 2 * math.prod(first) * int(second[1])


_OWN: Mapping[str, Callable[..., int]] = {
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_fused_attention_overrideable": _attention,
    "mkldnn_rnn_layer": _recurrent,
    "_cudnn_rnn": _all_recurrent,
    "miopen_rnn": _all_recurrent,
    "mv": _dot,
    "addmv": _add_matrix_vector,
    "dot": _dot,
    "vdot": _dot,
    "addbmm": _sum_of_products,
    "_int_mm": _quantised_products,
    "_trilinear": _trilinear,
    "_cdist_forward": _distances,
    "_euclidean_dist": _distances,
    "_pdist_forward": _own_distances,
    "affine_grid_generator": _affine_grid,
}

FORMULAS: Mapping[Any, Callable[..., int]] = {
    **flop_registry,
    **{
        getattr(torch.ops.aten, name): shape_wrapper(formula)  # type: ignore[no-untyped-call]
        for name, formula in _OWN.items()
    },
}
"""FLOPs by operator; called like it, with what it gave as `out_val`."""

FREE_TAGS = frozenset({torch.Tag.pointwise, torch.Tag.reduction, torch.Tag.view_copy})

# What multiplies no matrices, though no tag says so and torch cannot take it apart: pooling,
# order, what is moved or drawn, interpolation, observers of ranges, and Fourier transforms.
# fmt: off
FREE = frozenset({
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
    "adaptive_avg_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "fractional_max_pool2d",
    "fractional_max_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices",
    "_cummax_helper", "_cummin_helper", "_logcumsumexp", "_unique", "_unique2", "aminmax",
    "_aminmax", "bincount", "cummax", "cummin", "histc", "kthvalue", "logcumsumexp", "max",
    "median", "min", "mode", "nanmedian", "searchsorted", "segment_reduce", "sort", "topk",
    "unique_consecutive", "unique_dim",
    "_efficientzerotensor", "_embedding_bag", "_embedding_bag_forward_only", "_index_put_impl_",
    "_local_scalar_dense", "_nested_tensor_from_mask_left_aligned", "_pack_padded_sequence",
    "_reshape_alias_copy", "_stack", "as_strided_", "clone", "copy", "copy_", "detach_", "empty",
    "empty_like", "empty_permuted", "empty_strided", "full_like", "gather", "index", "index_put",
    "index_put_", "masked_scatter", "masked_select", "new_empty", "new_empty_strided", "nonzero",
    "nonzero_static", "put", "repeat_interleave", "resize_", "resize_as_", "scalar_tensor",
    "scatter", "scatter_add", "scatter_reduce", "set_", "take", "to_padded_tensor", "unsafe_split",
    "bernoulli", "bernoulli_", "binomial", "cauchy_", "exponential_", "geometric_", "log_normal_",
    "multinomial", "native_dropout", "normal", "normal_", "poisson", "rand", "rand_like",
    "randint", "randint_like", "randn", "randn_like", "random_", "randperm", "rrelu_with_noise",
    "rrelu_with_noise_", "uniform", "uniform_", "_sample_dirichlet", "_standard_gamma",
    "_grid_sampler_2d_cpu_fallback", "cudnn_grid_sampler", "grid_sampler_2d", "grid_sampler_3d",
    "_upsample_bicubic2d_aa", "_upsample_bilinear2d_aa", "upsample_bicubic2d",
    "upsample_bilinear2d", "upsample_trilinear3d",
    "_fake_quantize_learnable_per_channel_affine", "_fake_quantize_learnable_per_tensor_affine",
    "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams",
    "_fused_moving_avg_obs_fq_helper", "fake_quantize_per_channel_affine_cachemask",
    "fake_quantize_per_tensor_affine_cachemask",
    "_fft_c2c", "_fft_c2r", "_fft_r2c",
    "_assert_async", "_assert_scalar", "_assert_tensor_metadata", "_linalg_check_errors",
    "batch_norm_elemt", "batch_norm_stats", "_masked_softmax", "linalg_cross",
    "linalg_vector_norm",
})
# fmt: on
