"""Channels of a branch that can only go together, and where they lie in its weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One dimension of one tensor, along which the channels of a group lie.

    Args:
        tensor: state-dict key.
        dim: the dimension.
        groups: of the convolution that reads the channels; above 1 each group of its filters has
            the channels of one block alone.
    """

    tensor: str
    dim: int
    groups: int = 1

    @property
    def ranks(self) -> bool:
        """Whether the tensor says how strong a channel is: weights do, statistics do not."""
        return self.tensor.endswith(".weight")


@dataclass(eq=False, kw_only=True)
class ChannelGroup:
    """Channels of one branch that go together in all tensors they are in.

    Args:
        branch: number of the branch.
        size: number of channels.
        blocks: equal parts that have to stay equal, one after the other (grouped convolutions).
        slices: where the channels are.
        obstacle: why they have to stay; empty if they can go.
    """

    branch: int
    size: int
    blocks: int = 1
    slices: list[Slice] = field(default_factory=list)
    obstacle: str = ""
    _same_as: ChannelGroup | None = None

    def stay(self, reason: str) -> None:
        """Note that these channels cannot go; the first reason counts."""
        self.obstacle = self.obstacle or reason

    def resolved(self) -> ChannelGroup:
        """Return the group that this one was joined to, or itself."""
        return self if self._same_as is None else self._same_as.resolved()

    def join(self, other: ChannelGroup) -> None:
        """Take in a group whose channels go with these, one by one."""
        if other is not self:
            self.blocks = math.lcm(self.blocks, other.blocks)
            self.slices += other.slices
            self.obstacle = self.obstacle or other.obstacle
            other._same_as = self
