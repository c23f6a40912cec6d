"""Widths of a pruned network, as shapes: told from its weights, and given to an unpruned one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, fx, nn

from autodepth.errors import NetworkError
from autodepth.networks.gates.batch_statistics import BATCH_NORMS

Shapes: TypeAlias = Mapping[str, Sequence[int]]
"""Shape by state-dict key."""

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def changed_shapes(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a state dict that are not those of the network, by key."""
    return {
        name: tuple(state[name].shape)
        for name, value in module.state_dict().items()
        if name in state and state[name].shape != value.shape
    }


def take_shapes(module: nn.Module, shapes: Shapes) -> None:
    """Give layers of a network the widths that shapes tell, in place; their values are lost.

    Args:
        module: a network.
        shapes: new shape of parameters and buffers, by state-dict key, as `changed_shapes` tells.

    Raises:
        NetworkError: a key is none of the network's, or of a layer without a width.
    """
    called = _called(module) if isinstance(module, fx.GraphModule) else None
    for name, shape in shapes.items():
        owner, _, leaf = name.rpartition(".")
        try:
            layer = module.get_submodule(owner)
            old = getattr(layer, leaf)
        except AttributeError as error:
            raise NetworkError(f"the network has no {name} to give a width") from error
        new = torch.zeros(tuple(shape), dtype=old.dtype, device=old.device)
        if isinstance(old, nn.Parameter):
            new = nn.Parameter(new, requires_grad=old.requires_grad)
        setattr(layer, leaf, new)
        is_called = called is None or owner in called
        if is_called and leaf in {"weight", "running_mean", "in_proj_weight"}:
            _tell_width(layer, name, tuple(shape))  # a norm may have no weight


def _called(module: fx.GraphModule) -> set[str]:
    """Return the names of the modules that a graph calls, and of their parts."""
    called = [str(node.target) for node in module.graph.nodes if node.op == "call_module"]
    return {
        f"{name}.{part}".strip(".")
        for name in called
        for part, _ in module.get_submodule(name).named_modules()
    }


def _tell_width(layer: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    """Bring the numbers of a layer in line with the shape of its weight."""
    if isinstance(layer, CONVOLUTIONS):
        if layer.groups == layer.in_channels == layer.out_channels:  # depthwise stays depthwise
            layer.groups = shape[0]
        layer.out_channels, layer.in_channels = shape[0], shape[1] * layer.groups
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = shape
    elif isinstance(layer, BATCH_NORMS):
        layer.num_features = shape[0]
    elif isinstance(layer, nn.GroupNorm):
        layer.num_channels = shape[0]
    elif isinstance(layer, nn.Embedding):
        layer.num_embeddings, layer.embedding_dim = shape
    elif isinstance(layer, nn.MultiheadAttention):
        layer.embed_dim = layer.kdim = layer.vdim = shape[1]
        layer.num_heads = shape[0] // 3 // layer.head_dim
    elif isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        layer.normalized_shape = shape
    elif isinstance(layer, nn.PReLU):
        layer.num_parameters = shape[0]
    else:
        raise NetworkError(f"{type(layer).__name__} {name} has no width to be given")
