"""Networks of other widths, made again from the shapes of their tensors.

Shapes alone tell how wide a pruned network is: numbers in its graph (a padding, a reshape, the
heads of an attention) follow from the channels. So a file of weights, and `widths` in an exported
`architecture.json`, are all that is needed to build it.
"""

from __future__ import annotations

from autodepth.networks.pruning.channels.cut import choose_channels, measured_anew, tensors_by_name
from autodepth.networks.pruning.channels.groups import ChannelGroup, Slice
from autodepth.networks.pruning.channels.narrowing import follow_channels
from autodepth.networks.pruning.stream_width import choices_of
from autodepth.networks.pruning.widths import Shapes, take_shapes
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.copying import copied


def with_shapes(network: ResidualNetwork, shapes: Shapes) -> ResidualNetwork:
    """Return a new network of the widths that shapes tell; which weights it has says nothing.

    Tensors whose shape is not told follow the others, so branches that were put back get the
    width of the stream.

    Args:
        network: as it is built, without the branches that are gone; on the CPU.
        shapes: of parameters and buffers, by state-dict key, as `changed_shapes` tells.

    Raises:
        NetworkError: its channels cannot be followed, or a key is none of the network's.
    """
    module = copied(network.module)
    if not shapes:
        return network.without(())
    flow = follow_channels(network, module)
    counts: dict[ChannelGroup, int] = {}
    for group in (found for found in flow.found() if not found.obstacle):
        told = (_count(part, shapes) for part in group.slices if part.tensor in shapes)
        count = next((number for number in told if number is not None), group.size)
        if count != group.size or group.paddings:
            counts[group] = count
    choices = choices_of(module, counts, choose="first", seed=0, exact=False)
    choose_channels(module, choices)
    now = tensors_by_name(module)
    left = {n: s for n, s in shapes.items() if n not in now or tuple(now[n].shape) != tuple(s)}
    take_shapes(module, left)
    return measured_anew(network, module)


def _count(part: Slice, shapes: Shapes) -> int | None:
    """Return how many channels a shape tells of; None where that is no whole number."""
    length = shapes[part.tensor][part.dim] * part.groups
    count, odd = divmod(length, part.repeats * part.each)
    return None if odd else count
