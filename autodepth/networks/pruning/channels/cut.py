"""Other numbers of channels in a network: tensors, numbers in its graph, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx

from autodepth.networks.pruning.channels.groups import ChannelGroup, Slice
from autodepth.networks.pruning.channels.steps import with_numbers
from autodepth.networks.pruning.channels.trial import spread
from autodepth.networks.pruning.widths import take_shapes
from autodepth.networks.reading.branch_costs import Measured
from autodepth.networks.residual_network import ResidualNetwork


@dataclass(frozen=True)
class Choice:
    """The channels that a group is to have.

    Args:
        channels: numbers of channels that it has, in the order in which they are to be.
        share: what the weights that read each of them are multiplied by; None for 1.
    """

    channels: Tensor
    share: Tensor | None = None


@torch.no_grad()
def choose_channels(module: fx.GraphModule, choices: Mapping[ChannelGroup, Choice]) -> None:
    """Give a network the chosen channels alone, in place.

    Args:
        module: a network on the CPU.
        choices: the channels by group; other groups stay as they are.
    """
    before = tensors_by_name(module)
    tensors = dict(before)
    for group, choice in choices.items():
        for part in group.slices:
            tensors[part.tensor] = _taken(tensors[part.tensor], part, choice, group.size)
    changed = {name: t for name, t in tensors.items() if t is not before[name]}
    reshaped = {n: tuple(t.shape) for n, t in changed.items() if t.shape != before[n].shape}
    take_shapes(module, reshaped)
    for name, tensor in tensors_by_name(module).items():
        if name in changed:
            tensor.copy_(changed[name])
    _write_numbers(module, choices)


def tensors_by_name(module: fx.GraphModule) -> dict[str, Tensor]:
    """Return the parameters and buffers of a network under all their names."""
    parameters = module.named_parameters(remove_duplicate=False)
    return dict(parameters) | dict(module.named_buffers(remove_duplicate=False))


def strengths(tensors: Mapping[str, Tensor], group: ChannelGroup) -> Tensor:
    """Return the sum of squares of the weights that belong to each channel of a group."""
    ranking = [part for part in group.slices if part.ranks]
    if not ranking:
        return torch.zeros(group.size)
    return torch.stack([_strengths(tensors[p.tensor], p, group.size) for p in ranking]).sum(0)


def measured_anew(network: ResidualNetwork, module: fx.GraphModule) -> ResidualNetwork:
    """Return a network over a module of other widths, with what its parts cost now.

    Args:
        network: what it was.
        module: on the CPU.
    """
    measured = Measured(module, network.input_shape, network.free)
    kept = network.kept()
    costs = {
        branch.index: (measured.macs(site.branch_nodes), measured.parameters(site.branch_nodes))
        for branch, site in kept
    }
    return ResidualNetwork(
        module,
        sites=network.sites,
        branches=[
            replace(b, macs=costs[b.index][0], parameters=costs[b.index][1])
            if b.index in costs
            else b
            for b in network.branches
        ],
        total_macs=measured.total_macs,
        input_shape=network.input_shape,
        removed=network.removed,
        around=measured.around([site for _, site in kept]) if kept else network.around,
        notes=network.notes,
        free=network.free,
        off_by=network.off_by,
        read_on=network.read_on,
        channel_multiple=network.channel_multiple,
    )


def _write_numbers(module: fx.GraphModule, choices: Mapping[ChannelGroup, Choice]) -> None:
    """Bring the numbers in a graph in line with the channels."""
    nodes = {node.name: node for node in module.graph.nodes}
    for group, choice in choices.items():
        count = len(choice.channels)
        for number in group.constants:
            node = nodes[number.node]
            node.args, node.kwargs = with_numbers(node, {number.path: count * number.factor})
        for fixed in group.fixed:
            node, size = nodes[fixed.node], nodes[fixed.number]
            node.replace_input_with(size, fixed.value)
        for padding in group.paddings:
            inside = choices.get(padding.inside)
            inner = padding.inside.size if inside is None else len(inside.channels)
            before, after = padding.around(count - inner)
            *path, at = padding.path
            node = nodes[padding.node]
            changes = {padding.path: before, (*path, at + 1): after}
            node.args, node.kwargs = with_numbers(node, changes)
    module.recompile()


def _strengths(tensor: Tensor, part: Slice, size: int) -> Tensor:
    """Return the sum of squares of each channel's weights."""
    squares = tensor.float().square()
    if part.groups > 1:  # [filters, channels of a group, ...]
        by_group = torch.stack(squares.chunk(part.groups)).transpose(1, 2)
        return by_group.flatten(0, 1).flatten(1).sum(1)
    entries = squares.movedim(part.dim, 0).reshape(part.repeats, size, part.each, -1)
    return entries.sum((0, 2, 3))


def _taken(tensor: Tensor, part: Slice, choice: Choice, size: int) -> Tensor:
    """Return a tensor with the chosen channels; each group of filters has a block of them."""
    channels, share = choice.channels, choice.share if part.reads else None
    if part.groups == 1:
        places = spread(channels, size, repeats=part.repeats, each=part.each)
        taken = tensor.index_select(part.dim, places)
        if share is None:
            return taken
        by_place = share.repeat_interleave(part.each).repeat(part.repeats).to(tensor.dtype)
        return taken * by_place.view(-1, *[1] * (tensor.ndim - part.dim - 1))
    blocks = channels.view(part.groups, -1) % (size // part.groups)
    filters = [
        f.index_select(1, of) for f, of in zip(tensor.chunk(part.groups), blocks, strict=True)
    ]
    if share is not None:
        shares = share.to(tensor.dtype).view(part.groups, 1, -1, *[1] * (tensor.ndim - 2))
        filters = [f * of for f, of in zip(filters, shares, strict=True)]
    return torch.cat(filters)
