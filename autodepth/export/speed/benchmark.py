"""How fast an exported network is on this machine, beside its parent or another export.

Networks that are compared take turns, call by call: what slows the machine down for a while then
slows them all.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autodepth.errors import InputError, MeasurementError, did_you_mean
from autodepth.export.bundles.bundle import INT8, ONNX, load, read_architecture
from autodepth.long_work import long_work
from autodepth.networks.catalogue import build_network
from autodepth.policy.values import shown
from autodepth.space.sections.latency_section import RUNNERS, LatencySection
from autodepth.trial.device.device import choose_device, cpu_name, device_name
from autodepth.trial.device.runtimes.formats.onnx_file import write_onnx
from autodepth.trial.device.runtimes.formats.onnx_session import peak_bytes
from autodepth.trial.device.runtimes.formats.torch_program import Shape, make_program
from autodepth.trial.device.runtimes.runners import open_runner

BATCHES = (1, 128)
RUNTIMES = ("torch", "onnxruntime")
PARENT, OTHER, EXPORT = "parent", "other", "export"
EIGHT_BITS = "int8"
_BESIDE = {EXPORT: (PARENT, OTHER), EIGHT_BITS: (PARENT, OTHER, EXPORT)}
_NAMES = {
    "torch": "PyTorch", "torch-compile": "torch.compile", "openvino": "OpenVINO",
    "executorch": "ExecuTorch",
}  # fmt: skip
_LIBRARIES = {
    "PyTorch": "torch", "torch.compile": "torch", "onnxruntime": "onnxruntime",
    "OpenVINO": "openvino", "ExecuTorch": "executorch",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One network in one runtime at one batch size.

    Args:
        network: `export`, `int8` where the export has that file, or what they are compared with.
        runtime: `PyTorch`, `torch.compile`, `onnxruntime`, `OpenVINO`, `ExecuTorch` or
            `command`.
        device: the name of the CPU or GPU it ran on.
        batch: images per call.
        median_ms: median time of a call, milliseconds.
        iqr_ms: distance of the quartiles of the same; None where one time is known.
        calls: timed calls, or short runs of calls where one is below a millisecond.
        peak_bytes: PyTorch on a GPU: most memory allocated on it; onnxruntime: how far the
            memory of a fresh process rises; None where it is not known.
        joules_per_image: energy of the CPU packages while it ran; None without a meter.
    """

    network: str
    runtime: str
    device: str
    batch: int
    median_ms: float
    iqr_ms: float | None = None
    calls: int = 0
    peak_bytes: int | None = None
    joules_per_image: float | None = None


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What was measured, and under what conditions.

    Args:
        networks: what each network is, by the name it has in `timings`.
        threads: CPU threads.
        versions: of the libraries that were timed.
        macs: multiply-accumulates per image, by network.
        onnx_bytes: size of the ONNX file, by network; without those that have none.
        timings: in the order of runtime, batch size, network.
        unknown: why a runtime told no times at a batch size.
    """

    networks: Mapping[str, str]
    threads: int
    versions: Mapping[str, str]
    macs: Mapping[str, int]
    onnx_bytes: Mapping[str, int]
    timings: tuple[Timing, ...]
    unknown: Mapping[str, str] = field(default_factory=dict)

    def beside(self, timing: Timing) -> Timing | None:
        """Return what a network is compared with, in the same runtime at the same batch."""
        there = {
            other.network: other
            for other in self.timings
            if (other.runtime, other.batch) == (timing.runtime, timing.batch)
        }
        names = _BESIDE.get(timing.network, (EXPORT,))
        return next((there[name] for name in names if name in there), None)

    def arrives(self, timing: Timing) -> float | None:
        """Return what share of the multiply-accumulates removed arrives as time saved.

        1 where time falls as MACs do; None where fewer MACs are not what it has, or not all.
        """
        other = None if timing.network == EIGHT_BITS else self.beside(timing)
        if other is None or self.macs[timing.network] >= self.macs[other.network]:
            return None
        removed = 1 - self.macs[timing.network] / self.macs[other.network]
        return (1 - timing.median_ms / other.median_ms) / removed

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """A network to time."""

    name: str
    what: str
    module: nn.Module | None
    onnx: Path | None
    macs: int


def benchmark_bundle(
    folder: Path,
    *,
    against: str | None = None,
    places: Sequence[LatencySection] | None = None,
    threads: int | None = None,
    seconds: float = 1.0,
    own_code: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Benchmark:
    """Time an exported network, by default in PyTorch and in onnxruntime.

    PyTorch takes the GPU where there is one, all others the CPU.

    Args:
        folder: a bundle.
        against: `parent` (the same network with nothing removed, random weights, since times do
            not depend on them), another bundle, or None.
        places: where to time, see `places_to_time`; None for PyTorch and onnxruntime.
        threads: CPU threads of these two; None takes the processors this process may use.
        seconds: time for each network in each runtime at each batch size.
        own_code: whether the network's builder may be code of one's own.
        tell: told of what is being measured.

    Raises:
        BundleError: a bundle is damaged or was altered.
        InputError: the networks take images of different shapes.
    """
    places = places or places_to_time(threads=threads)
    shape = read_architecture(folder, own_code=own_code).network.input_shape
    with tempfile.TemporaryDirectory(prefix="autodepth-") as scratch:
        subjects = [_exported(EXPORT, folder, own_code=own_code)]
        if (folder / INT8).exists():
            subjects.append(_in_eight_bits(subjects[0], folder))
        if against == PARENT:
            tell("writing the unpruned parent as ONNX, to compare with")
            subjects.append(_parent(folder, Path(scratch), own_code=own_code))
        elif against is not None:
            subjects.append(_exported(OTHER, Path(against), own_code=own_code))
            _refuse_other_images(folder, Path(against), own_code=own_code)
        timings: list[Timing] = []
        unknown: dict[str, str] = {}
        for place in places:
            found, why = _known_of(subjects, place, shape, seconds, tell)
            timings += found
            unknown |= why
        return Benchmark(
            networks={subject.name: subject.what for subject in subjects},
            threads=places[0].threads,
            versions={
                runtime: version(_LIBRARIES[runtime])
                for runtime in dict.fromkeys(timing.runtime for timing in timings)
                if runtime in _LIBRARIES
            },
            macs={subject.name: subject.macs for subject in subjects},
            onnx_bytes={s.name: s.onnx.stat().st_size for s in subjects if s.onnx is not None},
            timings=tuple(timings),
            unknown=unknown,
        )


def places_to_time(
    on: Sequence[str] = RUNTIMES,
    *,
    command: str | None = None,
    batches: Sequence[int] = BATCHES,
    threads: int | None = None,
    limit: str = "10min",
) -> list[LatencySection]:
    """Return where to time a network.

    Args:
        on: runners, as `latency` in a space file names them.
        command: of the runner `command`, see there.
        batches: images per pass.
        threads: CPU threads; None takes the processors this process may use.
        limit: longest time of a network at a batch size, beyond which its time is unknown.

    Raises:
        InputError: there is no such runner, or a command is missing or belongs to none.
    """
    threads = threads or len(os.sched_getaffinity(0))
    if unknown := [name for name in on if name not in RUNNERS]:
        hint = did_you_mean(unknown[0], RUNNERS)
        raise InputError(f"--on must be of {', '.join(RUNNERS)}, but got {unknown[0]!r}{hint}")
    if ("command" in on) != (command is not None):
        raise InputError("--command and --on command must be given together")
    if command is not None and "{onnx}" not in command:
        raise InputError(f"--command must name {{onnx}}, the file, but got {shown(command)}")
    return [
        LatencySection(
            on=runner,
            command=command if runner == "command" else None,
            batch=batch,
            threads=threads,
            limit=limit,
        )
        for runner in RUNNERS
        if runner in on
        for batch in batches
    ]


def _exported(name: str, folder: Path, *, own_code: bool) -> _Subject:
    module = load(folder, own_code=own_code)
    return _Subject(
        name=name,
        what=str(folder),
        module=module,
        onnx=folder / ONNX if (folder / ONNX).exists() else None,
        macs=read_architecture(folder, own_code=own_code).macs,
    )


def _in_eight_bits(exported: _Subject, folder: Path) -> _Subject:
    """Return the eight-bit file of an export, which runs where ONNX is run."""
    what = f"{folder} in eight-bit integers"
    return _Subject(name=EIGHT_BITS, what=what, module=None, onnx=folder / INT8, macs=exported.macs)


def _parent(folder: Path, scratch: Path, *, own_code: bool) -> _Subject:
    network = build_network(read_architecture(folder, own_code=own_code).network)
    module = network.module.eval()
    onnx = scratch / ONNX if (folder / ONNX).exists() else None
    if onnx is not None:
        with long_work(f"writing {PARENT} as {ONNX}"):
            write_onnx(make_program(module, network.input_shape), onnx)
    return _Subject(
        name=PARENT,
        what=f"{folder} with nothing removed",
        module=module,
        onnx=onnx,
        macs=network.total_macs,
    )


def _refuse_other_images(folder: Path, other: Path, *, own_code: bool) -> None:
    ours, theirs = (
        read_architecture(path, own_code=own_code).network.input_shape for path in (folder, other)
    )
    if ours != theirs:
        raise InputError(
            f"networks that are compared must take the same images, but {folder} takes "
            f"{'x'.join(map(str, ours))} and {other} {'x'.join(map(str, theirs))}"
        )


def _form(subject: _Subject, place: LatencySection) -> nn.Module | Path | None:
    """Return a network in the form a runner takes, as it was exported; None where there is none."""
    return subject.onnx if place.takes_onnx else subject.module


def _known_of(
    subjects: Sequence[_Subject],
    place: LatencySection,
    shape: Shape,
    seconds: float,
    tell: Callable[[str], None],
) -> tuple[list[Timing], dict[str, str]]:
    """Return the times at a place, and why there are none; an eight-bit file takes none along."""
    told = f"{_NAMES.get(str(place.on), str(place.on))} at batch {place.batch}"
    try:
        return _timed(subjects, place, shape, seconds, tell), {}
    except MeasurementError as error:
        floats = [subject for subject in subjects if subject.name != EIGHT_BITS]
        if len(floats) == len(subjects):
            return [], {told: str(error)}
        found, why = _known_of(floats, place, shape, seconds, tell)
        return found, why or {f"{told}, {EIGHT_BITS}": str(error)}


def _timed(
    subjects: Sequence[_Subject],
    place: LatencySection,
    shape: Shape,
    seconds: float,
    tell: Callable[[str], None],
) -> list[Timing]:
    """Time networks at a place, by turns.

    Raises:
        MeasurementError: it tells no times.
    """
    name, device = _NAMES.get(str(place.on), str(place.on)), choose_device()
    forms = [(s, form) for s in subjects if (form := _form(s, place)) is not None]
    if not forms:
        raise MeasurementError(f"{ONNX} is not among the exported files")
    runner = open_runner(place, device)
    try:
        with long_work(f"starting {name} at batch {place.batch}"):
            prepared = [runner.prepare(form, shape) for _, form in forms]
        tell(f"timing {name} at batch {place.batch}")
        with long_work(f"timing {name} at batch {place.batch}"):
            found = runner.measure(prepared, seconds)
    finally:
        runner.close()
    told = "a program of your own" if place.command else cpu_name()
    return [
        Timing(
            network=subject.name,
            runtime=name,
            device=device_name(device) if place.on == "torch" else told,
            batch=place.batch,
            median_ms=latency.ms,
            iqr_ms=latency.iqr_ms,
            calls=latency.calls,
            peak_bytes=_peak_bytes(subject, place, shape, device),
            joules_per_image=None if latency.joules is None else latency.joules / place.batch,
        )
        for (subject, _), latency in zip(forms, found, strict=True)
    ]


def _peak_bytes(
    subject: _Subject, place: LatencySection, shape: Shape, device: torch.device
) -> int | None:
    if place.on == "onnxruntime" and subject.onnx is not None:
        return peak_bytes(subject.onnx, place.batch, shape, threads=place.threads)
    if place.on != "torch" or device.type != "cuda" or subject.module is None:
        return None
    module = subject.module.to(device)
    images = torch.zeros(place.batch, *shape, device=device)
    torch.cuda.reset_peak_memory_stats()
    with torch.inference_mode():
        module(images)
    return torch.cuda.max_memory_allocated()
