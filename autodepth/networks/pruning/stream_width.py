"""Networks whose residual stream is narrower, or wider, than it was.

Narrower, channels go with all that is theirs in every tensor. Which ones go is told by the L2 norm
of a channel's weights, or they are the last ones. Wider, new channels are copies of others; what
reads them is zero, or, where a norm takes statistics over the channels, what read one channel is
shared out among its copies. Either way the function stays what it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Literal, TypeAlias

import torch
from torch import Tensor, fx

from autodepth.errors import InputError, NetworkError
from autodepth.networks.pruning.channels.cut import (
    Choice,
    choose_channels,
    measured_anew,
    strengths,
    tensors_by_name,
)
from autodepth.networks.pruning.channels.groups import ChannelGroup
from autodepth.networks.pruning.channels.stream import Stream, find_stream
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.copying import copied

Chosen: TypeAlias = Literal["magnitude", "first"]
CHOSEN: tuple[Chosen, ...] = ("magnitude", "first")


def with_stream_width(
    network: ResidualNetwork,
    shares: float | Mapping[int, float] | None = None,
    *,
    widths: Mapping[int, int] | None = None,
    choose: Chosen = "magnitude",
    fresh: bool = False,
    seed: int = 0,
) -> ResidualNetwork:
    """Return a new network whose residual stream has another number of channels.

    What a share asks for is rounded to the nearest number that the layers take, at least one
    unit: groups of convolutions and group norms stay equal, and `torch.nn.MultiheadAttention`
    has whole heads. A width has to be such a number. Channels of a stem that only a projection
    reads get the share of the stage behind it.

    Args:
        network: on any device; the new one is on the same.
        shares: of the channels of each stage, or of all; above 1 makes it wider.
        widths: number of channels by stage, in place of shares. Stages that are not named keep
            theirs, but where they have the channels of one that is.
        choose: which channels stay: those of the largest `magnitude`, or the `first`.
        fresh: whether weights are as they were initialised. What is left of a layer that sums
            over channels is then multiplied by the root of old over new number, so that it gives
            as much variance as the network's own initialisation made it give. Nothing else
            changes: biases, norms and scales start as they did.
        seed: of the choice of channels to copy.

    Raises:
        InputError: a share is not above 0, a width does not fit, or there is no such stage.
        NetworkError: the stream of a stage has to stay as wide as it is; it says why.
    """
    if choose not in CHOSEN:
        raise InputError(f"choose must be one of {', '.join(CHOSEN)}, but got {choose!r}")
    device = next(network.module.parameters()).device
    module = copied(network.module).cpu()
    stream = find_stream(network, module)
    counts = _counts(network, stream, shares, widths)
    choices = choices_of(module, counts, choose=choose, seed=seed)
    if fresh:
        choices = {group: as_initialised(group, choice) for group, choice in choices.items()}
    choose_channels(module, choices)
    result = measured_anew(network, module)
    module.to(device)
    return result


def choices_of(
    module: fx.GraphModule,
    counts: Mapping[ChannelGroup, int],
    *,
    choose: Chosen,
    seed: int,
    exact: bool = True,
) -> dict[ChannelGroup, Choice]:
    """Return the channels of groups that are to have other numbers of these.

    Args:
        module: the network, on the CPU.
        counts: number of channels by group, also of groups that are others with padding around
            them; attention heads follow by themselves.
        choose: see `with_stream_width`.
        seed: of the choice of channels to copy.
        exact: whether the function has to stay what it was where channels are copied.

    Raises:
        InputError: copies cannot leave the function as it was, or what is padded would be wider
            than what it is padded to.
    """
    counts = dict(counts)
    for group, count in list(counts.items()):
        for heads, each in group.heads:
            counts[heads.resolved()] = count // each
    tensors = tensors_by_name(module)
    generator = torch.Generator().manual_seed(seed)
    choices: dict[ChannelGroup, Choice] = {}

    def choice(group: ChannelGroup) -> Choice:
        if group not in choices:
            ranks = strengths(tensors, group) if choose == "magnitude" else None
            count = counts.get(group, group.size)
            if group.paddings:
                inside = group.paddings[0].inside.resolved()
                choices[group] = _padded(
                    group, count, choice(inside), ranks, generator, exact=exact
                )
            else:
                alike = exact and bool(group.normalised) and count > group.size
                choices[group] = (
                    _copied_alike(group, count, generator)
                    if alike
                    else _chosen(group, count, ranks, generator)
                )
        return choices[group]

    for group in counts:
        choice(group)
    return choices


def _counts(
    network: ResidualNetwork,
    stream: Stream,
    shares: float | Mapping[int, float] | None,
    widths: Mapping[int, int] | None,
) -> dict[ChannelGroup, int]:
    """Return the numbers of channels that are asked for."""
    counts: dict[ChannelGroup, int] = {}
    for stage, value in _asked(network.num_stages, shares, widths).items():
        if stage in stream.stay:
            if widths is None and value == 1:
                continue
            raise NetworkError(f"stage {stage} keeps its width: {stream.stay[stage]}")
        for place, group in enumerate(stream.groups[stage]):
            share = value if widths is None else value / stream.widths[stage]
            count = group.nearest(share * group.size)
            if widths is not None and not place and count != value:
                raise InputError(
                    f"width of stage {stage} must be a multiple of {group.unit} and at least that, "
                    f"but got {value}"
                )
            if counts.setdefault(group, count) != count:
                raise InputError(
                    f"stage {stage} has channels of another stage, so it must have the same share "
                    f"as that, but got {value}"
                )
    for group in chain.from_iterable(stream.groups.values()):
        if group.paddings:  # it changes with what is padded
            counts.setdefault(group, group.size)
    return {group: n for group, n in counts.items() if n != group.size or group.paddings}


def _asked(
    stages: int,
    shares: float | Mapping[int, float] | None,
    widths: Mapping[int, int] | None,
) -> Mapping[int, float]:
    """Return the share or the width of each stage that is named."""
    if (shares is None) == (widths is None):
        raise InputError("a stream's width must be told by shares or by widths, one of them")
    asked: Mapping[int, float] = widths or {}
    if isinstance(shares, Mapping):
        asked = shares
    elif shares is not None:
        asked = dict.fromkeys(range(1, stages + 1), shares)
    if wrong := sorted(set(asked) - set(range(1, stages + 1))):
        raise InputError(f"stage must be one of 1 to {stages}, but got {wrong[0]}")
    if odd := [value for value in asked.values() if not 0 < value < float("inf")]:
        raise InputError(f"a stream's share or width must be above 0, but got {odd[0]}")
    return asked


def _chosen(
    group: ChannelGroup, count: int, ranks: Tensor | None, generator: torch.Generator
) -> Choice:
    """Return as many channels of each block."""
    block, wanted = group.size // group.blocks, count // group.blocks
    starts = torch.arange(0, group.size, block).unsqueeze(1)
    by_block = None if ranks is None else ranks.view(group.blocks, block)
    if wanted <= block:
        order = torch.arange(block).expand(group.blocks, block)
        if by_block is not None:
            order = by_block.argsort(descending=True, stable=True)
        return Choice((order[:, :wanted].sort().values + starts).flatten())
    more = torch.randint(block, (group.blocks, wanted - block), generator=generator)
    own = torch.arange(block).expand(group.blocks, block)
    share = torch.cat((torch.ones(own.shape), torch.zeros(more.shape)), 1)
    return Choice((torch.cat((own, more), 1) + starts).flatten(), share.flatten())


def _copied_alike(group: ChannelGroup, count: int, generator: torch.Generator) -> Choice:
    """Return every channel equally often, one beside the other, as statistics over all want it."""
    times, left = divmod(count, group.size)
    if left:
        raise InputError(
            f"{group.normalised} takes statistics over {group.size} channels, so without another "
            f"function these can only become a multiple of that, but got {count}"
        )
    parts = torch.rand(group.size, times, generator=generator) + 0.5  # no two copies learn alike
    share = parts / parts.sum(1, keepdim=True)
    return Choice(torch.arange(group.size).repeat_interleave(times), share.flatten())


def _padded(
    group: ChannelGroup,
    count: int,
    inner: Choice,
    ranks: Tensor | None,
    generator: torch.Generator,
    *,
    exact: bool,
) -> Choice:
    """Return the channels of a group that is another one with channels around it."""
    (padding, *_) = group.paddings
    if group.normalised or group.blocks > 1 or padding.inside.resolved().normalised:
        raise InputError("channels that are padded must not be normalised together, but they are")
    images = inner.channels + padding.before
    rest = count - len(images)
    if rest < 0:
        raise InputError(
            f"a stage padded with zeros must be as wide as the one before it, at least "
            f"{len(images)}, but got {count}"
        )
    others = torch.tensor([c for c in range(group.size) if c not in {*images.tolist()}]).long()
    if exact and count >= group.size and rest < len(others):
        raise InputError(
            f"a stage padded with zeros grows with the one before it, here to at least "
            f"{len(images) + len(others)}, but got {count}"
        )
    if ranks is not None:
        others = others[ranks[others].argsort(descending=True, stable=True)]
    copies = torch.randint(group.size, (max(rest - len(others), 0),), generator=generator)
    others = others[:rest].sort().values
    first, _ = padding.around(rest)
    around, own = torch.cat((others, copies)), torch.ones(rest)
    own[len(others) :] = 0
    share = torch.ones(len(images)) if inner.share is None else inner.share
    return Choice(
        torch.cat((around[:first], images, around[first:])),
        torch.cat((own[:first], share, own[first:])),
    )


def as_initialised(group: ChannelGroup, choice: Choice) -> Choice:
    """Return a choice whose readers keep the variance that their initialisation gave them."""
    factor = (group.size / len(choice.channels)) ** 0.5
    share = torch.ones(len(choice.channels)) if choice.share is None else choice.share
    return Choice(choice.channels, share * factor)
