"""The network that a study makes smaller: built for its examples, and tried on its task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autodepth.data.load import ImageData
from autodepth.networks.catalogue import NetworkSpec, build_network, complete, default_classes
from autodepth.networks.catalogue.image_channels import with_channels
from autodepth.networks.catalogue.own_builder import code_folder
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.space.domains import Fixed, largest_value
from autodepth.space.search_space import SearchSpace
from autodepth.tasks.first_step import try_task
from autodepth.tasks.own_task import TaskSpec, make_task
from autodepth.tasks.task_data import TaskData


def planned_network(
    space: SearchSpace, data: ImageData | TaskData, learns: TaskSpec, *, own_code: bool
) -> tuple[NetworkSpec, ResidualNetwork]:
    """Return how a network is built, and the network, with its weights where some are given.

    Args:
        space: what is searched.
        data: the examples, which say what the network is given and has to give.
        learns: the task; a loss of its own is tried on the network.
        own_code: whether code of a person's own may be imported.

    Raises:
        InputError: it cannot be built, its weights do not fit, or the task cannot learn by it.
    """
    network, unlabelled = space.network, data.settings.unlabelled
    weights = None if network.weights is None else Path(network.weights)
    spec = NetworkSpec(
        name=network.name,
        classes=default_classes(network.name) if unlabelled else data.outputs,
        channels=data.channels,
        height=data.height,
        width=data.width,
        shortcut=network.shortcut,
        arguments=dict(network.arguments),
        free=network.free,
        channel_multiple=network.channel_multiple,
        own_code=own_code,
    )
    if not learns.is_own:
        spec = with_channels(spec, weights=weights, weights_key=network.weights_key)
    spec = complete(spec)
    built = build_network(spec, seed=space.seed, weights=weights, weights_key=network.weights_key)
    if not learns.is_classification:
        try_task(
            make_task(learns).for_network(spec),
            built.without(()).module.eval(),
            distils=_distils(space),
        )
    return replace(spec, code_folder=code_folder(spec.name)), built  # workers are elsewhere


def _distils(space: SearchSpace) -> bool:
    domain = next((d.domain for d in space.dimensions if d.name == "distillation"), Fixed(0.0))
    return bool(largest_value(domain))
