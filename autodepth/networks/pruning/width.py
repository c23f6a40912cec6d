"""Narrower branches: inner channels of small magnitude go, the residual stream stays as wide.

`narrowing` finds which weights belong to one channel (a convolution's filter, its batch norm,
the next layer's inputs). Only groups that lie in one branch as a whole are touched, so a branch
still reads and gives what it did, and can be skipped or removed as before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from autodepth.errors import InputError
from autodepth.networks.pruning.channel_groups import ChannelGroup, Slice
from autodepth.networks.pruning.narrowing import Narrowing, find_narrowing
from autodepth.networks.pruning.widths import take_shapes
from autodepth.networks.reading.branch_costs import Measured
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.copying import copied


def prune_width(
    network: ResidualNetwork, share: float, narrowing: Narrowing | None = None
) -> ResidualNetwork:
    """Return a new network whose branches have lost their weakest inner channels.

    Channels are ranked within each layer by the L2 norm of the weights that belong to them; at
    least one stays. Channels that cannot go are left alone, see `find_narrowing`.

    Args:
        network: a network on any device; the new one is on the same.
        share: of the channels of each inner layer, in [0, 1).
        narrowing: what can go, where that was found already.

    Raises:
        InputError: the share is outside its range.
    """
    if not 0.0 <= share < 1.0:
        raise InputError(f"share of channels to prune must be in [0, 1), but got {share}")
    device = next(network.module.parameters()).device
    module = copied(network.module).cpu()  # it is run on one image, and measured
    if share:
        _cut(module, (narrowing or find_narrowing(network, module)).groups, share)
    measured = Measured(module, network.input_shape, network.free)
    costs = {
        branch.index: (measured.macs(site.branch_nodes), measured.parameters(site.branch_nodes))
        for branch, site in network.kept()
    }
    return ResidualNetwork(
        module.to(device),
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
        around=network.around,
        notes=network.notes,
        free=network.free,
        off_by=network.off_by,
        read_on=network.read_on,
    )


@torch.no_grad()
def _cut(module: nn.Module, groups: Iterable[ChannelGroup], share: float) -> None:
    """Take the weakest channels out of all tensors they are in."""
    before = module.state_dict()
    tensors = dict(before)
    for group in groups:
        block = group.size // group.blocks
        staying = max(1, int(block * (1 - share) + 1e-9))  # 20 * (1 - 0.9) is a little below 2
        strengths = [_strengths(tensors[part.tensor], part) for part in group.slices if part.ranks]
        order = torch.stack(strengths).sum(0).view(group.blocks, block).argsort(descending=True)
        starts = torch.arange(0, group.size, block).unsqueeze(1)
        kept = (order[:, :staying].sort().values + starts).flatten()
        for part in group.slices:
            tensors[part.tensor] = _taken(tensors[part.tensor], part, kept, group.size)
    changed = {name: t for name, t in tensors.items() if t.shape != before[name].shape}
    take_shapes(module, {name: tuple(tensor.shape) for name, tensor in changed.items()})
    module.load_state_dict(changed, strict=False)


def _strengths(tensor: Tensor, part: Slice) -> Tensor:
    """Return the sum of squares of each channel's weights."""
    squares = tensor.float().square()
    if part.groups > 1:  # [filters, channels of a group, ...]
        by_group = torch.stack(squares.chunk(part.groups)).transpose(1, 2)
        return by_group.flatten(0, 1).flatten(1).sum(1)
    return squares.movedim(part.dim, 0).reshape(squares.shape[part.dim], -1).sum(1)


def _taken(tensor: Tensor, part: Slice, kept: Tensor, size: int) -> Tensor:
    """Return a tensor with the kept channels alone; each group of filters has a block of them."""
    if part.groups == 1:
        return tensor.index_select(part.dim, kept)
    places = kept.view(part.groups, -1) % (size // part.groups)
    filters = tensor.chunk(part.groups)
    return torch.cat([f.index_select(1, of) for f, of in zip(filters, places, strict=True)])
