"""What networks take at a place of a space, and the table of what branches take there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from autodepth.errors import MeasurementError
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.space.objectives import LATENCY
from autodepth.space.sections.latency_section import LatencySection
from autodepth.trial.device.device import device_name
from autodepth.trial.device.latency import fit_table
from autodepth.trial.device.latency_table import LatencyTable
from autodepth.trial.device.runtimes.runners import Runner, open_runner

_LIBRARIES = {"torch-compile": "torch"}  # all others are runners' names, too


def latencies_at(
    places: Mapping[str, LatencySection],
    network: ResidualNetwork,
    whole: ResidualNetwork,
    tables: Mapping[str, LatencyTable],
    device: torch.device,
    file: Path | None = None,
) -> tuple[dict[str, float], dict[str, str]]:
    """Return a network's latency at each place by metric, and why others are unknown.

    Args:
        places: by name.
        network: in evaluation mode.
        whole: the network that the tables are of.
        tables: by metric; those that there are.
        device: of PyTorch.
        file: the network in ONNX, where it is that which counts.
    """
    known: dict[str, float] = {}
    unknown: dict[str, str] = {}
    for name, place in places.items():
        metric = f"{LATENCY}@{name}"
        try:
            known[metric] = latency_at(place, network, whole, tables.get(metric), device, file)
        except MeasurementError as error:
            unknown[metric] = str(error)
    return known, unknown


def latency_at(
    place: LatencySection,
    network: ResidualNetwork,
    whole: ResidualNetwork,
    table: LatencyTable | None,
    device: torch.device,
    file: Path | None = None,
) -> float:
    """Return a network's latency at a place, milliseconds.

    It takes turns with the whole network where a runtime is ours, and is told in the time that
    one took when the table was measured: other work on the device does not count.

    Args:
        place: its settings.
        network: in evaluation mode.
        whole: the network that the table is of.
        table: None for times as they are now.
        device: of PyTorch.
        file: the network in ONNX, where it is that which counts.

    Raises:
        MeasurementError: there is a reason that no time is known.
    """
    if table is None or place.command is not None:
        return _measured(place, [network], device, file)[0]
    beside, own = _measured(place, [whole, network], device, file)
    return own / beside * table.whole_ms


def table_at(
    name: str,
    place: LatencySection,
    network: ResidualNetwork,
    device: torch.device,
    widths: Sequence[float] = (),
) -> LatencyTable:
    """Measure at a place what each removable branch adds to the latency of a network.

    Args:
        name: of the place.
        place: its settings.
        network: the whole network.
        device: of PyTorch.
        widths: see `fit_table`.

    Raises:
        MeasurementError: with the place, and why no time is known there.
    """

    def measure(networks: Sequence[ResidualNetwork]) -> list[float]:
        return _measured(place, networks, device)

    told = where(name, place, device)
    try:
        return fit_table(network, measure, told, place.threads, widths)
    except MeasurementError as error:
        raise MeasurementError(f"latency.{name}: {error}") from error


def where(name: str, place: LatencySection, device: torch.device) -> str:
    """Return what a place is called: by its name alone where its device is a person's own."""
    if place.command is not None:
        return name
    library = _LIBRARIES.get(str(place.on), str(place.on))
    try:
        told = f"{library} {version(library)}"
    except PackageNotFoundError:
        told = library
    on = device if place.on == "torch" else torch.device("cpu")
    return f"{told} on {device_name(on)}"


def _measured(
    place: LatencySection,
    networks: Sequence[ResidualNetwork],
    device: torch.device,
    last: Path | None = None,
) -> list[float]:
    """Return latencies by turns, of the last network by its file where there is one."""
    with _opened(place, device) as runner:
        *others, own = networks
        prepared = [runner.prepare(n.module, n.input_shape) for n in others]
        prepared.append(runner.prepare(last or own.module, own.input_shape))
        return [found.ms for found in runner.measure(prepared)]


@contextmanager
def _opened(place: LatencySection, device: torch.device) -> Iterator[Runner[Any]]:
    runner = open_runner(place, device)
    try:
        yield runner
    finally:
        runner.close()
