"""The space as this machine, its network and weights have it: what holds, and what cannot act."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from autodepth.data.settings import absolute_paths
from autodepth.errors import InputError
from autodepth.networks.catalogue import from_root, trained_on
from autodepth.networks.catalogue.pretrained import weights_file
from autodepth.networks.pruning.channels.narrowing import find_narrowing
from autodepth.networks.pruning.channels.stream import find_stream
from autodepth.networks.pruning.magnitude import weights_left_alone
from autodepth.networks.pruning.widths import CONVOLUTIONS
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.copying import copied
from autodepth.paths import absolute
from autodepth.policy.policy import Policy
from autodepth.policy.settings import RANDOM_DEPTH
from autodepth.space.domains import Dimension, Fixed, largest_value
from autodepth.space.search_space import SearchSpace
from autodepth.space.sections.latency_section import LatencySection

_SETTING, _STREAM = "filter_sparsity", "stream_width"


def with_absolute_paths(space: SearchSpace) -> SearchSpace:
    """Return the space with its paths from the root; relative ones start at the current folder.

    Here they are said for the last time: trials, the study's own space file and whoever goes on
    with it from elsewhere all take them from here.
    """
    data = space.data.model_copy(update=absolute_paths(space.data.name, space.data.root))
    if data.packed_size is not None:
        data = data.model_copy(update={"root": str(absolute(data.root))})
    network = space.network
    if network.weights is not None:
        file = weights_file(network.name, Path(network.weights))
        network = network.model_copy(update={"weights": str(absolute(file))})
    network = network.model_copy(update={"name": from_root(network.name)})
    return replace(space, data=data, network=network)


def sized_as_weights(space: SearchSpace) -> tuple[SearchSpace, list[str]]:
    """Bring images to the size that a network's own weights know, where nobody says another."""
    network, data = space.network, space.data
    side = trained_on(network.name) if network.weights and data.image_size is None else None
    if side is None:
        return space, []
    note = f"images are brought to {side}x{side}, as {network.name} was trained on"
    data = data.model_copy(update={"image_size": side})
    return replace(space, data=data), [f"{note}; data.image_size may say another size"]


def without_idle_dimensions(space: SearchSpace) -> tuple[SearchSpace, list[str]]:
    """Fix what acts in training only, if there is none: the network starts from given weights."""
    epochs = next((d.domain for d in space.dimensions if d.name == "train.epochs"), None)
    if epochs != Fixed(0):
        return space, []
    idle = [d.name for d in space.dimensions if d.name in RANDOM_DEPTH]
    default = Policy()
    kept = tuple(
        Dimension(d.name, Fixed(default.value(d.name))) if d.name in idle else d
        for d in space.dimensions
    )
    note = f"no training before pruning (train.epochs 0), so {', '.join(idle)} do not act"
    return replace(space, dimensions=kept), [note] if idle else []


def without_idle_widths(
    space: SearchSpace, network: ResidualNetwork
) -> tuple[SearchSpace, list[str]]:
    """Fix the width at the whole one where no channel can go; say which branches are left alone.

    A space that leaves widths alone is returned as it is, and nothing is looked for.

    Raises:
        InputError: the space asks for narrower layers in any case, and no channel can go.
    """
    domain = next((d.domain for d in space.dimensions if d.name == _SETTING), Fixed(0.0))
    if not largest_value(domain):
        return space, []
    try:
        return space, left_alone(network)
    except InputError as error:
        if not domain.contains(0.0):
            raise
        note = str(error)
    return _fixed(space, _SETTING, 0.0), [note]


def _fixed(space: SearchSpace, setting: str, value: float) -> SearchSpace:
    """Return a space where a setting has one value."""
    dimensions = tuple(
        Dimension(d.name, Fixed(value)) if d.name == setting else d for d in space.dimensions
    )
    first = tuple(
        p if isinstance(p, str) else {name: v for name, v in p.items() if name != setting}
        for p in space.start_with
    )
    return replace(space, dimensions=dimensions, start_with=first)


def without_idle_streams(
    space: SearchSpace, network: ResidualNetwork
) -> tuple[SearchSpace, list[str]]:
    """Fix the stream at its whole width where it has to stay that wide, and say why.

    Raises:
        InputError: the space asks for a narrower stream in any case, and it has to stay as it is.
    """
    domain = next((d.domain for d in space.dimensions if d.name == _STREAM), Fixed(1.0))
    if domain == Fixed(1.0):
        return space, []
    stay = find_stream(network, copied(network.module).cpu()).stay
    if not stay:
        return space, []
    stage, why = next(iter(stay.items()))
    note = f"stage {stage} keeps its width, so {_STREAM} has to be 1 ({why})"
    if not domain.contains(1.0):
        raise InputError(note)
    return _fixed(space, _STREAM, 1.0), [note]


def weights_told(space: SearchSpace, network: ResidualNetwork) -> list[str]:
    """Return a note where a space prunes single weights and some of the network's stay."""
    domain = next((d.domain for d in space.dimensions if d.name == "weight_sparsity"), Fixed(0.0))
    note = weights_left_alone(network) if largest_value(domain) else ""
    return [note] if note else []


def channels_told(space: SearchSpace, network: ResidualNetwork) -> list[str]:
    """Return a note where a space leaves layers numbers of channels that take longer."""
    stream = next((d.domain for d in space.dimensions if d.name == _STREAM), Fixed(1.0))
    if stream == Fixed(1.0) and not space.narrows_branches:
        return []
    return odd_channels(network, space.places.values())


def odd_channels(network: ResidualNetwork, places: Iterable[LatencySection]) -> list[str]:
    """Return a note where channels that pruning leaves to this network take longer somewhere.

    Args:
        network: before pruning.
        places: where it will be timed.
    """
    layers = (layer for layer in network.module.modules() if isinstance(layer, CONVOLUTIONS))
    depth_wise = any(layer.groups == layer.in_channels > 1 for layer in layers)
    in_onnxruntime = any(place.on == "onnxruntime" for place in places)
    if network.channel_multiple > 1 or not (depth_wise or in_onnxruntime):
        return []
    return [
        "narrower layers can be slow in onnxruntime where their channels are no multiple of 8, or "
        "of 4 if they are depth-wise; network.channel_multiple=8 leaves multiples of it"
    ]


def left_alone(network: ResidualNetwork) -> list[str]:
    """Return how many branches become narrower, and why the others do not; nothing if all do.

    Raises:
        InputError: all of them do.
    """
    narrowing = find_narrowing(network)
    told = narrowing.told()
    if narrowing.groups:
        reached, whole = narrowing.reached
        return [f"{_SETTING} reaches {reached} of {whole} branches", *told] if told else []
    raise InputError(
        f"{_SETTING} takes channels out of branches, but in this network none can go, so it has "
        f"to be 0 ({'; '.join(told)})"
    )
