"""Unstructured magnitude pruning: the smallest weights become zero, their places stay.

The classic method, for comparison. Its zeros make no dense kernel faster, so the cost is told
twice: dense (`ResidualNetwork.total_macs`) and effective, without the products by a zero weight.
Pruned is what convolutions, linear layers and attention projections multiply by, whatever module
holds it; biases and normalisation stay, and so do weights from which others are computed first (a
standardised convolution), where a zero would not stay one. Source: Han et al. 2015, arXiv
1506.02626.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from autodepth.errors import InputError
from autodepth.networks.costs.cost import unfused
from autodepth.networks.costs.operator_costs import FORMULAS
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.modes import evaluating
from autodepth.networks.running.preserve import left_as_it_was
from autodepth.policy.survival import check_choice

MagnitudeScope = Literal["network", "layer"]
MAGNITUDE_SCOPES: tuple[MagnitudeScope, ...] = get_args(MagnitudeScope)
Masks: TypeAlias = Mapping[str, Tensor]
"""Which weights stay, by parameter name."""

# Where products have their weight; before it comes what depends on the image.
_WEIGHT_PLACES: Mapping[Any, int] = {
    torch.ops.aten.convolution: 1,
    torch.ops.aten.mm: 1,
    torch.ops.aten.addmm: 2,
    torch.ops.aten.bmm: 1,
    torch.ops.aten.baddbmm: 2,
}


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
    read = _read_weights(network).names
    weights = dict(network.module.named_parameters())
    sizes = {name: weight.detach().abs() for name, weight in weights.items() if name in read}
    if not sizes:
        return {}
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


def effective_macs(network: ResidualNetwork) -> int:
    """Return the multiply-accumulates per image whose weight is not zero."""
    return network.total_macs - _read_weights(network).skipped


def weights_left_alone(network: ResidualNetwork) -> str:
    """Return what share of the weights cannot be pruned one by one, as a note; empty if none."""
    read, weights = _read_weights(network).names, _weights(network)
    left = [name for name in weights if name not in read]
    if not left:
        return ""
    pruned = sum(weights[name].numel() for name in weights.keys() & read)
    whole = sum(weight.numel() for weight in weights.values())
    return (
        f"weight_sparsity reaches {len(weights) - len(left)} of {len(weights)} weight tensors, "
        f"{pruned / whole:.0%} of the weights; no convolution or linear layer multiplies by "
        f"{left[0]}{f' and {len(left) - 1} more' * (len(left) > 1)} as they are"
    )


def reached_by_masks(network: ResidualNetwork, masks: Masks) -> tuple[int, int]:
    """Return how many weight tensors have a mask, and how many there are."""
    weights = _weights(network)
    return len(weights.keys() & masks.keys()), len(weights)


def _weights(network: ResidualNetwork) -> dict[str, Tensor]:
    return {
        name: weight
        for name, weight in network.module.named_parameters()
        if weight.ndim > 1 and "weight" in name
    }


def _read_weights(network: ResidualNetwork) -> _Reader:
    """Run one image, and note which parameters are multiplied by."""
    parameter = next(network.module.parameters())
    image = parameter.new_zeros(1, *network.input_shape)
    reader = _Reader(network.module)
    with left_as_it_was(network.module), evaluating(network.module), unfused(), reader:
        network.module(image)
    return reader


class _Reader(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which parameters products read, and how many of these are by a zero.

    A parameter is known by its memory, so a part of it, or it transposed, is it too.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()
        self.skipped = 0
        # Recurrent layers take theirs together on some devices, and one by one on others.
        recurrent = (m for m in module.modules() if isinstance(m, nn.RNNBase))
        passed_over = {parameter for layer in recurrent for parameter in layer.parameters()}
        self._by_memory = {
            parameter.untyped_storage().data_ptr(): name
            for name, parameter in module.named_parameters()
            if parameter.ndim > 1 and parameter not in passed_over
        }

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = getattr(func, "_overloadpacket", func)
        if (place := _WEIGHT_PLACES.get(packet)) is not None:
            weight = args[place]
            name = self._by_memory.get(weight.untyped_storage().data_ptr())
            if name is not None:
                self.names.add(name)
                macs = int(FORMULAS[packet](*args, **(kwargs or {}), out_val=out)) // 2
                self.skipped += macs * int((weight == 0).sum()) // weight.numel()
        return out


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
