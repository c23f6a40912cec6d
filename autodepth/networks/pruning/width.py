"""Narrower branches: inner channels of small magnitude go, the residual stream stays as wide.

`narrowing` finds which weights belong to one channel (a convolution's filter, its batch norm,
the next layer's inputs). Only groups that lie in one branch as a whole are touched, so a branch
still reads and gives what it did, and can be skipped or removed as before.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from autodepth.errors import InputError
from autodepth.networks.pruning.channels.cut import (
    Choice,
    choose_channels,
    measured_anew,
    strengths,
)
from autodepth.networks.pruning.channels.groups import ChannelGroup
from autodepth.networks.pruning.channels.narrowing import Narrowing, find_narrowing
from autodepth.networks.pruning.stream_width import as_initialised
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.copying import copied


def prune_width(
    network: ResidualNetwork,
    share: float | Mapping[int, float],
    narrowing: Narrowing | None = None,
    *,
    fresh: bool = False,
) -> ResidualNetwork:
    """Return a new network whose branches have lost their weakest inner channels.

    Channels are ranked within each layer by the L2 norm of the weights that belong to them; at
    least one stays. Channels that cannot go are left alone, see `find_narrowing`. Where their
    number has to be a multiple, as many stay as come nearest to what the share leaves.

    Args:
        network: a network on any device; the new one is on the same.
        share: of the channels of each inner layer, in [0, 1); or one for each branch, by number.
        narrowing: what can go, where that was found already.
        fresh: whether weights are as they were initialised: the first channels stay then, and
            what reads them keeps its variance, as of `with_stream_width`.

    Raises:
        InputError: the share is outside its range.
    """
    shares = share
    if not isinstance(shares, Mapping):
        shares = dict.fromkeys((branch.index for branch in network.branches), shares)
    if wrong := [gone for gone in shares.values() if not 0.0 <= gone < 1.0]:
        raise InputError(f"share of channels to prune must be in [0, 1), but got {wrong[0]}")
    device = next(network.module.parameters()).device
    module = copied(network.module).cpu()  # it is run on one image, and measured
    if any(shares.values()):
        groups = (narrowing or find_narrowing(network, module)).groups
        tensors = module.state_dict()
        choices = {
            group: _first(group, gone) if fresh else Choice(_strongest(tensors, group, gone))
            for group in groups
            if (gone := shares.get(group.branch, 0.0))
        }
        choose_channels(module, choices)
    narrow = measured_anew(network, module)
    module.to(device)
    return narrow


def _first(group: ChannelGroup, share: float) -> Choice:
    """Return the first channels of each block, as initialised."""
    block = group.size // group.blocks
    starts = torch.arange(0, group.size, block).unsqueeze(1)
    channels = (torch.arange(_staying(group, share)) + starts).flatten()
    return as_initialised(group, Choice(channels))


def _strongest(tensors: Mapping[str, Tensor], group: ChannelGroup, share: float) -> Tensor:
    """Return the channels that stay, as many in each block."""
    block = group.size // group.blocks
    staying = _staying(group, share)
    order = strengths(tensors, group).view(group.blocks, block).argsort(descending=True)
    starts = torch.arange(0, group.size, block).unsqueeze(1)
    return (order[:, :staying].sort().values + starts).flatten()


def _staying(group: ChannelGroup, share: float) -> int:
    """Return how many channels of each block stay."""
    if group.unit > group.blocks:
        return group.nearest(group.size * (1 - share)) // group.blocks
    block = group.size // group.blocks
    return max(1, int(block * (1 - share) + 1e-9))  # 20 * (1 - 0.9) is a little below 2
