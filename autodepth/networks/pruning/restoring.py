"""Networks of other widths, made again from the shapes of their tensors.

Shapes alone tell how wide a pruned network is: numbers in its graph (a padding, a reshape, the
heads of an attention) follow from the channels. So a file of weights, and `widths` in an exported
`architecture.json`, are all that is needed to build it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from autodepth.networks.pruning.channels.cut import choose_channels, measured_anew, tensors_by_name
from autodepth.networks.pruning.channels.groups import ChannelGroup, Slice
from autodepth.networks.pruning.channels.narrowing import follow_channels
from autodepth.networks.pruning.stream_width import choices_of
from autodepth.networks.pruning.widths import CONVOLUTIONS, Shapes, take_shapes
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.copying import copied

_SUM_OVER_CHANNELS = (*CONVOLUTIONS, nn.Linear, nn.MultiheadAttention)


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


def initialised_with_shapes(
    network: ResidualNetwork, shapes: Shapes, generator: torch.Generator
) -> ResidualNetwork:
    """Return a new network of the widths that shapes tell, as it would be initialised.

    Tensors of another shape are drawn from the values that the network's own initialisation gave
    them; in layers that sum over channels they are multiplied by the root of old over new number
    of these, so that outputs vary as much as it made them vary. All others stay.

    Args:
        network: with its initial weights, without the branches that are gone; on the CPU.
        shapes: of parameters and buffers, by state-dict key, as `changed_shapes` tells.
        generator: of what is drawn.

    Raises:
        NetworkError: its channels cannot be followed, or a key is none of the network's.
    """
    result = with_shapes(network, shapes)
    given = network.module.state_dict()
    drawn = {
        name: given[name]
        if tensor.shape == given[name].shape
        else _drawn(network.module, name, given[name], tensor.shape, generator)
        for name, tensor in result.module.state_dict().items()
    }
    result.module.load_state_dict(drawn)
    return result


def _count(part: Slice, shapes: Shapes) -> int | None:
    """Return how many channels a shape tells of; None where that is no whole number."""
    length = shapes[part.tensor][part.dim] * part.groups
    count, odd = divmod(length, part.repeats * part.each)
    return None if odd else count


def _drawn(
    module: nn.Module, name: str, given: Tensor, shape: torch.Size, generator: torch.Generator
) -> Tensor:
    values = given.flatten()[torch.randint(given.numel(), tuple(shape), generator=generator)]
    layer = module.get_submodule(name.rpartition(".")[0])
    if given.ndim < 2 or not isinstance(layer, _SUM_OVER_CHANNELS):
        return values
    return values * math.sqrt(math.prod(given.shape[1:]) / math.prod(shape[1:]))
