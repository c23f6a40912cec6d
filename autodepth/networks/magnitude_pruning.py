"""Unstructured magnitude pruning: the smallest weights become zero, their places stay.

The classic method, for comparison. Its zeros make no dense kernel faster, so the cost is told
twice: dense (`ResidualNetwork.total_macs`) and effective, without the products by a zero weight.
Pruned are the weights of convolutions, linear layers and attention projections; biases and
normalisation stay. Source: Han et al. 2015, arXiv 1506.02626.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from autodepth.errors import InputError
from autodepth.networks.cost import evaluating
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.survival import check_choice

MagnitudeScope = Literal["network", "layer"]
MAGNITUDE_SCOPES: tuple[MagnitudeScope, ...] = get_args(MagnitudeScope)
Masks: TypeAlias = Mapping[str, Tensor]
"""Which weights stay, by parameter name."""

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
# The output projection of an attention: a linear layer that is never called by itself.
_OF_ATTENTION = nn.modules.linear.NonDynamicallyQuantizableLinear


def magnitude_masks(
    network: ResidualNetwork, share: float, scope: MagnitudeScope = "network"
) -> Masks:
    """Return which weights stay: a mask by parameter name, False for the smallest.

    Args:
        network: its weights are read, not changed.
        share: of all weights that may be pruned, in [0, 1).
        scope: whether weights are ranked over the whole network or within each layer.

    Raises:
        InputError: an argument is outside its range.
    """
    if not 0.0 <= share < 1.0:
        raise InputError(f"share of weights to prune must be in [0, 1), but got {share}")
    check_choice("scope", scope, MAGNITUDE_SCOPES)
    sizes = {
        name: weight.detach().abs()
        for layer, module in network.module.named_modules()
        for name, weight in _weights(layer, module)
    }
    if scope == "layer":
        return {name: _largest(size.flatten(), share).view_as(size) for name, size in sizes.items()}
    together = torch.cat([size.flatten() for size in sizes.values()])
    parts = torch.split(_largest(together, share), [size.numel() for size in sizes.values()])
    return {name: part.view_as(sizes[name]) for name, part in zip(sizes, parts, strict=True)}


@torch.no_grad()
def apply_masks(network: ResidualNetwork, masks: Masks) -> None:
    """Set the weights that do not stay to zero, in place; after every step while fine-tuning.

    Masks of branches that have been removed since are passed over.
    """
    if masks:
        weights = dict(network.module.named_parameters())
        for name in masks.keys() & weights.keys():
            weights[name].mul_(masks[name])


@torch.no_grad()
def effective_macs(network: ResidualNetwork) -> int:
    """Return the multiply-accumulates per image whose weight is not zero."""
    skipped = 0

    def note(module: nn.Module, _: tuple[Any, ...], output: Any) -> None:
        nonlocal skipped
        out = output if isinstance(output, Tensor) else output[0]
        # A convolution weight multiplies once per output position, a linear one once per token.
        positions = out[:, 0] if isinstance(module, _CONVOLUTIONS) else out[..., 0]
        for _name, weight in _weights("", module):
            skipped += positions.numel() * int((weight == 0).sum())

    layers = [m for m in network.module.modules() if any(_weights("", m))]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    with evaluating(network.module):
        parameter = next(network.module.parameters())
        network.module(parameter.new_zeros(1, *network.input_shape))
    for hook in hooks:
        hook.remove()
    return network.total_macs - skipped


def _weights(layer: str, module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights a module multiplies by itself, by their names in the network."""
    if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
        yield f"{layer}.in_proj_weight", module.in_proj_weight
        yield f"{layer}.out_proj.weight", module.out_proj.weight
    elif isinstance(module, (*_CONVOLUTIONS, nn.Linear)) and not isinstance(module, _OF_ATTENTION):
        yield f"{layer}.weight", module.weight


def _largest(sizes: Tensor, share: float) -> Tensor:
    """Return a mask that leaves out exactly the share of smallest sizes, ties by position."""
    leaving = int(share * len(sizes))
    if not leaving:
        return torch.ones_like(sizes, dtype=torch.bool)
    limit = sizes.kthvalue(leaving).values  # a sort of 10^8 weights would take a minute
    mask = sizes > limit
    ties = (sizes == limit).nonzero().flatten()
    mask[ties[leaving - int((sizes < limit).sum()) :]] = True
    return mask
