"""Layers whose weights say by themselves what they do to channels, as modules or as functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from autodepth.networks.gates.batch_statistics import BATCH_NORMS
from autodepth.networks.pruning.widths import CONVOLUTIONS

Path: TypeAlias = tuple[Any, ...]
WEIGHTED = (*CONVOLUTIONS, nn.Linear)
NORMS = (*BATCH_NORMS, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.PReLU)

_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_WINDOWS = (
    *("input", "qkv_weight", "proj_weight", "relative_position_bias", "window_size", "num_heads"),
    *("shift_size", "attention_dropout", "dropout", "qkv_bias", "proj_bias", "logit_scale"),
)  # of torchvision's Swin transformers, whose graphs have it as one step
_FUNCTIONS: Mapping[Any, tuple[str, tuple[str, ...]]] = {
    F.linear: ("linear", ("input", "weight", "bias")),
    F.conv1d: ("conv", _CONV),
    F.conv2d: ("conv", _CONV),
    F.conv3d: ("conv", _CONV),
    F.layer_norm: ("layer_norm", ("input", "normalized_shape", "weight", "bias")),
    torch.layer_norm: ("layer_norm", ("input", "normalized_shape", "weight", "bias")),
    F.rms_norm: ("layer_norm", ("input", "normalized_shape", "weight")),
    F.group_norm: ("group_norm", ("input", "num_groups", "weight", "bias")),
    torch.group_norm: ("group_norm", ("input", "num_groups", "weight", "bias")),
}


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """A convolution or linear layer.

    Args:
        weight: name of its weight [outputs, inputs of a group, ...].
        own: names of the tensors that have an entry per output.
        shape: of its weight.
        groups: of the convolution.
        linear: whether it reads the last axis; else the second.
        groups_at: where in the call the number of groups is; None where the layer has it.
    """

    weight: str
    own: tuple[str, ...]
    shape: torch.Size
    groups: int
    linear: bool
    groups_at: Path | None = None

    @property
    def depthwise(self) -> bool:
        """Whether each channel passes through by itself."""
        return self.groups == self.shape[0] > 1 == self.shape[1]


@dataclass(frozen=True, kw_only=True)
class Norm:
    """A layer with an entry per channel that normalises, or scales each by itself.

    Args:
        own: names of the tensors that have an entry per channel.
        size: number of channels; None where no tensor tells.
        last: whether channels are the last axis; else the second.
        groups: channels of one group are normalised together; 1 for all of them.
        together: whether channels are normalised together; else each by itself.
        size_at: where in the call the number of channels is; None where the layer has it.
    """

    own: tuple[str, ...]
    size: int | None
    last: bool
    groups: int
    together: bool
    size_at: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Attention heads that share the width of what they read and give.

    Args:
        in_weight: name of the weight of queries, keys and values [3 * channels, channels].
        out_weight: name of the weight of the last layer [channels, channels].
        in_bias: name of its bias; empty where there is none.
        out_bias: name of its bias; empty where there is none.
        heads: their number.
        size: channels of one.
        beside: other values in the call that have an entry per head.
        heads_at: where in the call the number of heads is; None where the layer has it.
    """

    in_weight: str
    out_weight: str
    in_bias: str
    out_bias: str
    heads: int
    size: int
    beside: tuple[fx.Node, ...] = ()
    heads_at: Path | None = None


def layer_at(
    module: fx.GraphModule, node: fx.Node, plain: Callable[[Any], bool]
) -> Weighted | Norm | Attention | None:
    """Return the layer that a node calls; None where it is none of these.

    Args:
        module: the graph.
        node: one of it.
        plain: tells whether a layer or tensor is read in this place alone.
    """
    if node.op == "call_module":
        layer = module.get_submodule(str(node.target))
        return _of_module(str(node.target), layer, node) if plain(layer) else None
    if node.op != "call_function":
        return None
    if getattr(node.target, "__name__", "") == "shifted_window_attention":
        return _of_windows(module, node, plain)
    return _of_function(module, node, plain) if node.target in _FUNCTIONS else None


def is_torchs(layer: nn.Module) -> bool:
    """Whether a layer computes what its kind does, whatever its own class adds."""
    return type(layer).forward.__module__.startswith("torch.nn.")


def _of_module(name: str, layer: nn.Module, node: fx.Node) -> Weighted | Norm | Attention | None:
    if not is_torchs(layer):
        return None
    if isinstance(layer, WEIGHTED):
        return _weighted(name, layer)
    if isinstance(layer, NORMS):
        return _norm(name, layer)
    return _attention(name, layer, node) if isinstance(layer, nn.MultiheadAttention) else None


def _weighted(name: str, layer: nn.Module) -> Weighted:
    tensors = {key: tensor for key, tensor in layer.state_dict().items() if tensor.ndim}
    linear = isinstance(layer, nn.Linear)
    return Weighted(
        weight=f"{name}.weight",
        own=tuple(f"{name}.{key}" for key in tensors),
        shape=tensors["weight"].shape,
        groups=1 if linear else int(layer.groups),  # type: ignore[arg-type]
        linear=linear,
    )


def _norm(name: str, layer: nn.Module) -> Norm | None:
    tensors = {key: tensor for key, tensor in layer.state_dict().items() if tensor.ndim}
    sizes = {tuple(tensor.shape) for tensor in tensors.values()}
    if len(sizes) > 1 or not all(len(size) == 1 for size in sizes):
        return None
    return Norm(
        own=tuple(f"{name}.{key}" for key in tensors),
        size=next(iter(sizes))[0] if sizes else _told_size(layer),
        last=isinstance(layer, nn.LayerNorm | nn.RMSNorm),
        groups=layer.num_groups if isinstance(layer, nn.GroupNorm) else 1,
        together=isinstance(layer, nn.GroupNorm | nn.LayerNorm | nn.RMSNorm),
    )


def _attention(name: str, layer: nn.MultiheadAttention, node: fx.Node) -> Attention | None:
    given = [value for value in (*node.args, *node.kwargs.values()) if isinstance(value, fx.Node)]
    odd = layer.bias_k is not None or layer.add_zero_attn or layer.in_proj_weight is None
    if odd or len(given) != 3 or len(set(given)) != 1:
        return None
    biased = layer.in_proj_bias is not None
    return Attention(
        in_weight=f"{name}.in_proj_weight",
        out_weight=f"{name}.out_proj.weight",
        in_bias=f"{name}.in_proj_bias" * biased,
        out_bias=f"{name}.out_proj.bias" * biased,
        heads=layer.num_heads,
        size=layer.embed_dim // layer.num_heads,
    )


def _told_size(layer: nn.Module) -> int | None:
    """Return the number of channels of a norm without tensors."""
    shape = getattr(layer, "normalized_shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) == 1 else None
    for name in ("num_features", "num_channels"):
        if hasattr(layer, name):
            return int(getattr(layer, name))
    return None


def _of_function(
    module: fx.GraphModule, node: fx.Node, plain: Callable[[Any], bool]
) -> Weighted | Norm | None:
    kind, names = _FUNCTIONS[node.target]
    given = _given(node, names)
    read = [
        given[name][0] for name in ("weight", "bias") if given.get(name, (None,))[0] is not None
    ]
    if not all(isinstance(value, fx.Node) and value.op == "get_attr" for value in read):
        return None
    if not all(len(value.users) == 1 and plain(_tensor(module, value)) for value in read):
        return None
    own = tuple(str(value.target) for value in read)
    if kind in {"linear", "conv"}:
        shape = _tensor(module, read[0]).shape
        groups, at = given.get("groups", (1, None))
        return Weighted(
            weight=own[0], own=own, shape=shape, groups=groups, linear=kind == "linear",
            groups_at=at,
        )  # fmt: skip
    if kind == "group_norm":
        size = len(_tensor(module, read[0])) if read else None
        groups = given["num_groups"][0]
        return Norm(own=own, size=size, last=False, groups=groups, together=True)
    shape, at = given["normalized_shape"]
    if not isinstance(shape, tuple | list) or len(shape) != 1 or not isinstance(shape[0], int):
        return None
    return Norm(own=own, size=shape[0], last=True, groups=1, together=True, size_at=(*at, 0))


def _of_windows(
    module: fx.GraphModule, node: fx.Node, plain: Callable[[Any], bool]
) -> Attention | None:
    given = {name: value for name, (value, _) in _given(node, _WINDOWS).items()}
    names = ("qkv_weight", "proj_weight", "qkv_bias", "proj_bias")
    read = [given.get(name) for name in names]
    weights = [value for value in read if isinstance(value, fx.Node) and value.op == "get_attr"]
    heads = given.get("num_heads")
    if not isinstance(heads, int) or len(weights) < sum(value is not None for value in read):
        return None
    if not all(len(value.users) == 1 and plain(_tensor(module, value)) for value in weights):
        return None
    targets = ["" if value is None else str(value.target) for value in read]
    beside = (given.get("relative_position_bias"), given.get("logit_scale"))
    return Attention(
        in_weight=targets[0],
        out_weight=targets[1],
        in_bias=targets[2],
        out_bias=targets[3],
        heads=heads,
        size=len(_tensor(module, weights[1])) // heads,
        beside=tuple(value for value in beside if isinstance(value, fx.Node)),
        heads_at=_given(node, _WINDOWS)["num_heads"][1],
    )


def _given(node: fx.Node, names: tuple[str, ...]) -> dict[str, tuple[Any, Path]]:
    """Return the arguments of a call by name, each with where it is."""
    by_place = {
        name: (value, ("args", place))
        for place, (name, value) in enumerate(zip(names, node.args, strict=False))
    }
    return by_place | {name: (value, ("kwargs", name)) for name, value in node.kwargs.items()}


def _tensor(module: fx.GraphModule, node: fx.Node) -> Tensor:
    owner, _, last = str(node.target).rpartition(".")
    value = getattr(module.get_submodule(owner), last)
    assert isinstance(value, Tensor)
    return value
