"""Which channels inside a branch can go, and which weights go with each of them.

The output channels of a convolution or linear layer are followed through its branch up to the
layers that read them. Layers with weights are known by their kind. What any other step does to
channels is tried out on random numbers, whatever its name: where it gives the same if channels are
left out before it or after it, they pass through. Where it does not (a reshape into heads, a
softmax over channels, a shuffle), or fails, the channels stay. So every network gets an answer, in
about the time of two forward passes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import fx

from autodepth.errors import NetworkError
from autodepth.networks.pruning.channels.flow import ChannelFlow
from autodepth.networks.pruning.channels.groups import ChannelGroup
from autodepth.networks.pruning.channels.trial import IMAGES
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.modes import evaluating
from autodepth.networks.running.preserve import left_as_it_was

_SHOWN = 8
_HEADS = "attention heads go with the width of the residual stream"


@dataclass(frozen=True, kw_only=True)
class Narrowing:
    """What can be made narrower in a network.

    Args:
        groups: the channels that can go.
        left_alone: why a branch has none of these, by its number.
    """

    groups: tuple[ChannelGroup, ...]
    left_alone: dict[int, str]

    @property
    def reached(self) -> tuple[int, int]:
        """How many branches have channels that can go, and how many there are."""
        narrower = len({group.branch for group in self.groups})
        return narrower, narrower + len(self.left_alone)

    def told(self) -> list[str]:
        """Return a sentence per reason why branches are left alone, with their numbers."""
        branches: dict[str, list[int]] = defaultdict(list)
        for branch, reason in self.left_alone.items():
            branches[reason].append(branch)
        return [f"widths of {_listed(b)} stay: {reason}" for reason, b in branches.items()]


def find_narrowing(network: ResidualNetwork, module: fx.GraphModule | None = None) -> Narrowing:
    """Find the channels inside branches that can go.

    Args:
        network: left as it is.
        module: a copy of the network's module on the CPU; None where that is there itself.
    """
    try:
        flow = follow_channels(network, module)
    except NetworkError as error:
        return nothing_narrow(network, str(error))
    return narrowing_in(network, flow)


def nothing_narrow(network: ResidualNetwork, why: str) -> Narrowing:
    """Return that no branch can be made narrower, for one reason."""
    return Narrowing(groups=(), left_alone={branch.index: why for branch, _ in network.kept()})


def narrowing_in(network: ResidualNetwork, flow: ChannelFlow) -> Narrowing:
    """Return what can be made narrower in a network whose channels were followed."""
    inner = [group for group in flow.found() if group.branch and not group.leaves]
    free = tuple(g for g in inner if not g.obstacle and not g.follows and g.size > g.blocks)
    narrow = {group.branch for group in free}
    told = [(group.branch, group.obstacle or _HEADS * group.follows) for group in inner]
    reasons = {branch: reason for branch, reason in reversed(told) if reason}  # the first counts
    return Narrowing(
        groups=free,
        left_alone={
            branch.index: reasons.get(branch.index)
            or flow.unknown.get(branch.index, "no layer reads another one's channels")
            for branch, _ in network.kept()
            if branch.index not in narrow
        },
    )


def follow_channels(network: ResidualNetwork, module: fx.GraphModule | None = None) -> ChannelFlow:
    """Follow the channels of a network from where they are made to where they are read.

    Args:
        network: left as it is.
        module: a copy of the network's module on the CPU; None where that is there itself.

    Raises:
        NetworkError: its code cannot be run node by node.
    """
    module = network.module if module is None else module
    flow = ChannelFlow(network, module)
    with left_as_it_was(module), evaluating(module), torch.no_grad():
        try:
            flow.run(torch.rand(IMAGES, *network.read_on, generator=torch.Generator()))
        except Exception as error:  # the code of any network
            why = f"channels cannot be followed: {type(error).__name__}: {error}".splitlines()[0]
            raise NetworkError(why) from error
    return flow


def _listed(branches: list[int]) -> str:
    if len(branches) == 1:
        return f"branch {branches[0]}"
    more = f" and {len(branches) - _SHOWN} more" if len(branches) > _SHOWN else ""
    return f"branches {', '.join(map(str, branches[:_SHOWN]))}{more}"
