"""What sparsity can reach: layers with channels that can go, and single weights."""

from __future__ import annotations

from dataclasses import replace

from autodepth.errors import InputError
from autodepth.networks.pruning.channels.narrowing import find_narrowing
from autodepth.networks.pruning.magnitude import weights_left_alone
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.space.domains import Dimension, Fixed, largest_value
from autodepth.space.search_space import SearchSpace

_SETTING = "filter_sparsity"


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
    if not domain.contains(0.0):
        return space, left_alone(network)
    try:
        return space, left_alone(network)
    except InputError as error:
        note = str(error)
    dimensions = tuple(
        Dimension(d.name, Fixed(0.0)) if d.name == _SETTING else d for d in space.dimensions
    )
    first = tuple(
        p if isinstance(p, str) else {name: v for name, v in p.items() if name != _SETTING}
        for p in space.start_with
    )
    return replace(space, dimensions=dimensions, start_with=first), [note]


def weights_told(space: SearchSpace, network: ResidualNetwork) -> list[str]:
    """Return a note where a space prunes single weights and some of the network's stay."""
    domain = next((d.domain for d in space.dimensions if d.name == "weight_sparsity"), Fixed(0.0))
    note = weights_left_alone(network) if largest_value(domain) else ""
    return [note] if note else []


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
