"""Steps and latencies timed where trials will run, here or on a node of a cluster."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from autodepth.atomic import write_atomically
from autodepth.errors import InputError, MeasurementError
from autodepth.long_work import long_work
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.layout import for_convolutions
from autodepth.policy.policy import Policy
from autodepth.records.studies import studies_root
from autodepth.space.objectives import LATENCY
from autodepth.space.search_space import SearchSpace
from autodepth.space.sections.latency_section import LatencySection
from autodepth.study.cluster.shipping import ShippedFiles, pack
from autodepth.study.plan.estimate import StepTime, measure_step_time
from autodepth.study.plan.resources import Resources
from autodepth.trial.device.device import device_name
from autodepth.trial.device.latency import measure_table
from autodepth.trial.device.latency_table import LatencyTable
from autodepth.trial.device.runtimes.places import table_at, where
from autodepth.trial.device.threads import on_threads

if TYPE_CHECKING:
    from autodepth.study.cluster.cluster import Cluster

KNOWN_TABLES = ".latencies"
"""Folder beside the studies, of tables that they share by the name of the device."""
# Kernels compute 8 or 16 channels at once, so time falls in stairs, the tallest at half of the
# channels. ResNet-56, one image, at these shares: onnxruntime takes 1.08, 0.93, 0.87, 0.68 and 0.52
# of the whole time, OpenVINO 1.01, 0.88, 0.80, 0.69 and 0.53.
WIDTHS = (0.9, 0.75, 0.55, 0.5, 0.25)
"""Shares of inner channels at which tables are measured where policies make branches narrower."""
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What was timed, and on what.

    Args:
        step_time: seconds per image.
        hardware: name of the GPU or CPU.
    """

    step_time: StepTime
    hardware: str


def time_on_a_place(
    spec: NetworkSpec,
    network: ResidualNetwork,
    policy: Policy,
    resources: Resources,
    cluster: Cluster | None,
) -> Timing:
    """Time a few steps where trials will run: the driver's host may have no GPU, or another CPU.

    Args:
        spec: what builds the network elsewhere.
        network: the same, built; left as it is.
        policy: a typical one; its training is timed.
        resources: where trials run.
        cluster: whose nodes have these places; None for this machine.
    """
    if cluster is None:
        # Timing moves batch statistics, so it happens on a copy.
        with long_work("timing a few steps"):
            return time_steps(network.without([]), policy, resources)
    return cluster.run(
        time_steps_elsewhere, spec, pack(spec, None), policy, resources,
        cpus=resources.cpus, gpus=resources.gpus,
    )  # fmt: skip


def time_steps(network: ResidualNetwork, policy: Policy, resources: Resources) -> Timing:
    """Time steps with the device and threads of one place; the network is used up."""
    device = resources.torch_device
    network.module.to(device)
    for_convolutions(network.module)
    with on_threads(resources.threads):
        step_time = measure_step_time(network, policy, device)
    return Timing(step_time=step_time, hardware=device_name(device))


def time_steps_elsewhere(
    spec: NetworkSpec, shipped_files: ShippedFiles, policy: Policy, resources: Resources
) -> Timing:
    """Build the network on a node and time it there; weights change no time."""
    return time_steps(build_network(shipped_files.unpack_code(spec), seed=0), policy, resources)


def latency_tables_of(
    space: SearchSpace,
    spec: NetworkSpec,
    network: ResidualNetwork,
    resources: Resources,
    cluster: Cluster | None,
    *,
    known: Mapping[str, LatencyTable],
) -> dict[str, LatencyTable]:
    """Return what branches add to every latency that a space asks for, by metric.

    Args:
        space: what is searched.
        spec: what builds the network elsewhere.
        network: the same, built; left as it is.
        resources: where trials run.
        cluster: whose nodes have these places; None for this machine.
        known: tables that the study has already; those measured elsewhere are measured anew.

    Raises:
        InputError: a place tells no times.
    """
    widths = WIDTHS if space.narrows_branches else ()
    asked: dict[str, LatencySection | None] = {LATENCY: None} if LATENCY in space.asked else {}
    asked |= {f"{LATENCY}@{name}": place for name, place in space.places.items()}
    found = {}
    for metric, place in asked.items():

        def there(
            function: Callable[..., Answer], *given: Any, of: Any = (metric, place)
        ) -> Answer:
            if cluster is None:
                return function(network, *of, resources, *given)
            answer: Answer = cluster.run(
                _elsewhere, spec, pack(spec, None), function, (*of, resources, *given),
                cpus=resources.cpus, gpus=resources.gpus,
            )  # fmt: skip
            return answer

        device, table = there(_device), known.get(metric)
        threads = resources.threads if place is None else place.threads
        shared = None if place is None else _shared(metric, place, device, spec, widths)
        if table is None and shared is not None:
            with suppress(OSError, ValueError, TypeError, KeyError):
                table = LatencyTable.from_dict(json.loads(shared.read_text()))
        if table is None or (table.device, table.threads) != (device, threads):
            with long_work(f"measuring what each branch adds to {metric}"):
                table = there(_table, widths)
            if shared is not None:
                shared.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(shared, json.dumps(table.to_dict()))
        found[metric] = table
    return found


def _shared(
    metric: str, place: LatencySection, device: str, spec: NetworkSpec, widths: Sequence[float]
) -> Path:
    """Return the file of a table that studies of the same network share."""
    settings = place.model_dump(mode="json", exclude={"limit", "warm_up"})
    content = [metric, settings, device, spec.to_dict(), list(widths)]
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return studies_root() / KNOWN_TABLES / f"{metric.partition('@')[2]}-{key}.json"


def _device(
    _network: ResidualNetwork, metric: str, place: LatencySection | None, resources: Resources
) -> str:
    """Return what the place is called, where trials run."""
    device = resources.torch_device
    return device_name(device) if place is None else where(_name(metric), place, device)


def _table(
    network: ResidualNetwork,
    metric: str,
    place: LatencySection | None,
    resources: Resources,
    widths: Sequence[float],
) -> LatencyTable:
    if place is None:
        return measure_table(network, resources.torch_device, resources.threads, widths)
    try:
        return table_at(_name(metric), place, network, resources.torch_device, widths)
    except MeasurementError as error:
        raise InputError(str(error)) from error


def _name(metric: str) -> str:
    return metric.partition("@")[2]


def _elsewhere(
    spec: NetworkSpec,
    shipped_files: ShippedFiles,
    function: Callable[..., Answer],
    given: Sequence[Any],
) -> Answer:
    """Build the network on a node and ask there; weights change no time."""
    return function(build_network(shipped_files.unpack_code(spec), seed=0), *given)
