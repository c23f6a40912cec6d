"""Channels that can only come and go together, and where they lie in the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One dimension of one tensor, along which the channels of a group lie.

    Channel c is at `r * size * each + c * each + e` for every r below `repeats` and e below `each`.

    Args:
        tensor: name of a parameter or buffer.
        dim: the dimension.
        reads: whether the tensor sums over the channels; else it has an entry of each.
        groups: of the convolution that reads the channels; above 1 each group of its filters has
            the channels of one block alone.
        repeats: how often the channels follow one another (queries, keys and values).
        each: entries of one channel beside one another (the dimensions of an attention head).
    """

    tensor: str
    dim: int
    reads: bool = False
    groups: int = 1
    repeats: int = 1
    each: int = 1

    @property
    def ranks(self) -> bool:
        """Whether the tensor says how strong a channel is: weights do, statistics do not."""
        return self.tensor.endswith("weight")


@dataclass(frozen=True, kw_only=True)
class Constant:
    """A number in a graph that follows the number of channels.

    Args:
        node: whose argument it is.
        path: where among its arguments, beginning with `args` or `kwargs`.
        factor: the number is so many times the count.
    """

    node: str
    path: tuple[Any, ...]
    factor: int = 1


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """A size that a node reads and that must stay what it was, whatever the channels are.

    Args:
        node: that reads it.
        number: the node it is read from.
        value: what it was.
    """

    node: str
    number: str
    value: Any


@dataclass(frozen=True, kw_only=True)
class Padding:
    """Channels of zeros put around those of another group: option A of the CIFAR ResNets.

    Args:
        node: that pads.
        path: where among its arguments the number before is; that after follows it.
        inside: the group that is padded.
        before: channels before it.
        after: channels after it.
    """

    node: str
    path: tuple[Any, ...]
    inside: ChannelGroup
    before: int
    after: int

    def around(self, more: int) -> tuple[int, int]:
        """Share out a number of padded channels as they are now; the odd one comes after."""
        first = more * self.before // max(self.before + self.after, 1)
        return first, more - first


@dataclass(eq=False, kw_only=True)
class ChannelGroup:
    """Channels that go together in all tensors they are in.

    Args:
        branch: number of the branch where they are made; 0 for none.
        size: number of channels.
        blocks: equal parts that have to stay equal, one after the other (grouped convolutions).
        multiple: what their number must be a multiple of (dimensions of attention heads, and what
            is asked for, see `autodepth.networks.catalogue.NetworkSpec`).
        written: whether a layer makes them; else they are an axis of a parameter alone.
        leaves: whether they are read or given outside of the branch where they are made.
        follows: whether their number is that of another group (attention heads).
        normalised: the layer that takes statistics over them, if there is one.
        slices: where the channels are.
        heads: groups that have a channel for so many of these.
        paddings: where they are made by padding others.
        constants: numbers in the graph that follow theirs.
        fixed: numbers in the graph that must not.
        obstacle: why they have to stay; empty if they can go.
    """

    branch: int
    size: int
    blocks: int = 1
    multiple: int = 1
    written: bool = False
    leaves: bool = False
    follows: bool = False
    normalised: str = ""
    slices: list[Slice] = field(default_factory=list)
    heads: list[tuple[ChannelGroup, int]] = field(default_factory=list)
    paddings: list[Padding] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    fixed: list[Fixed] = field(default_factory=list)
    obstacle: str = ""
    _same_as: ChannelGroup | None = None

    @property
    def unit(self) -> int:
        """What the number of channels has to be a multiple of."""
        return math.lcm(self.blocks, self.multiple)

    def nearest(self, count: float) -> int:
        """Return the number of channels that can be had nearest to a count; never past its own."""
        can = max(1, round(count / self.unit)) * self.unit
        return min(can, self.size) if count <= self.size else max(can, self.size)

    def stay(self, reason: str) -> None:
        """Note that these channels cannot go; the first reason counts."""
        self.obstacle = self.obstacle or reason

    def resolved(self) -> ChannelGroup:
        """Return the group that this one was joined to, or itself."""
        return self if self._same_as is None else self._same_as.resolved()

    def join(self, other: ChannelGroup) -> None:
        """Take in a group whose channels go with these, one by one."""
        if other is self:
            return
        self.leaves |= other.leaves or self.branch != other.branch
        self.blocks = math.lcm(self.blocks, other.blocks)
        self.multiple = math.lcm(self.multiple, other.multiple)
        self.written |= other.written
        self.follows |= other.follows
        self.normalised = self.normalised or other.normalised
        for name in ("slices", "heads", "paddings", "constants", "fixed"):
            getattr(self, name).extend(getattr(other, name))
        self.obstacle = self.obstacle or other.obstacle
        other._same_as = self
