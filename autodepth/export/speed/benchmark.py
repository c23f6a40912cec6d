"""How fast an exported network is on this machine, beside its parent or another export.

Networks that are compared take turns, call by call: what slows the machine down for a while then
slows them all.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.benchmark import Measurement, Timer

from autodepth.errors import InputError
from autodepth.export.bundles.bundle import ONNX, load, read_architecture
from autodepth.export.formats.onnx_file import write_onnx
from autodepth.export.formats.onnx_session import open_onnx, peak_bytes
from autodepth.export.formats.torch_program import Shape, make_program
from autodepth.export.speed.energy import EnergyMeter
from autodepth.long_work import each, long_work
from autodepth.networks.catalogue import build_network
from autodepth.networks.running.layout import for_convolutions, laid_out
from autodepth.trial.device.device import choose_device, cpu_name, device_name

BATCHES = (1, 128)
PARENT = "parent"
_WARM_UP = 3
# A timed call is at least this long, so that reading the clock is nothing beside it.
_SHORTEST_SECONDS = 1e-3
_ROUNDS = (7, 400)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One network in one runtime at one batch size.

    Args:
        network: `export`, or what it is compared with.
        runtime: `PyTorch` or `onnxruntime`.
        device: the name of the CPU or GPU it ran on.
        batch: images per call.
        median_ms: median time of a call, milliseconds.
        iqr_ms: distance of the quartiles of the same.
        calls: timed calls, or short runs of calls where one is below a millisecond.
        peak_bytes: PyTorch on a GPU: most memory allocated on it; onnxruntime: how far the
            memory of a fresh process rises; None where it is not known.
        joules_per_image: energy of the CPU packages while it ran; None without a meter.
    """

    network: str
    runtime: str
    device: str
    batch: int
    median_ms: float = math.nan
    iqr_ms: float = math.nan
    calls: int = 0
    peak_bytes: int | None = None
    joules_per_image: float | None = None


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What was measured, and under what conditions.

    Args:
        networks: what each network is, by the name it has in `timings`.
        threads: CPU threads.
        versions: of PyTorch and onnxruntime.
        macs: multiply-accumulates per image, by network.
        onnx_bytes: size of the ONNX file, by network; without those that have none.
        timings: in the order of runtime, batch size, network.
    """

    networks: Mapping[str, str]
    threads: int
    versions: Mapping[str, str]
    macs: Mapping[str, int]
    onnx_bytes: Mapping[str, int]
    timings: tuple[Timing, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """A network to time."""

    name: str
    what: str
    module: nn.Module
    onnx: Path | None
    macs: int


def benchmark_bundle(
    folder: Path,
    *,
    against: str | None = None,
    threads: int | None = None,
    seconds: float = 1.0,
    own_code: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Benchmark:
    """Time an exported network in PyTorch and in onnxruntime.

    PyTorch takes the GPU where there is one, onnxruntime the CPU.

    Args:
        folder: a bundle.
        against: `parent` (the same network with nothing removed, random weights, since times do
            not depend on them), another bundle, or None.
        threads: CPU threads; None takes the processors this process may use.
        seconds: time for each network in each runtime at each batch size.
        own_code: whether the network's builder may be code of one's own.
        tell: told of what is being measured.

    Raises:
        BundleError: a bundle is damaged or was altered.
        InputError: the networks take images of different shapes.
    """
    threads = threads or len(os.sched_getaffinity(0))
    shape = read_architecture(folder, own_code=own_code).network.input_shape
    with _threads(threads), tempfile.TemporaryDirectory(prefix="autodepth-") as scratch:
        subjects = [_exported("export", folder, own_code=own_code)]
        if against == PARENT:
            tell("writing the unpruned parent as ONNX, to compare with")
            subjects.append(_parent(folder, Path(scratch), own_code=own_code))
        elif against is not None:
            subjects.append(_exported("other", Path(against), own_code=own_code))
            _refuse_other_images(folder, Path(against), own_code=own_code)
        timings = []
        for runtime in (_in_pytorch, _in_onnxruntime):
            for batch in BATCHES:
                with long_work(f"starting at batch {batch}, and measuring memory"):
                    calls = runtime(subjects, shape, batch)
                if calls:
                    tell(f"timing {calls[0].timing.runtime} at batch {batch}")
                    timings += _take_turns(calls, seconds)
        return Benchmark(
            networks={subject.name: subject.what for subject in subjects},
            threads=threads,
            versions={"PyTorch": torch.__version__, "onnxruntime": version("onnxruntime")},
            macs={subject.name: subject.macs for subject in subjects},
            onnx_bytes={s.name: s.onnx.stat().st_size for s in subjects if s.onnx is not None},
            timings=tuple(timings),
        )


def _exported(name: str, folder: Path, *, own_code: bool) -> _Subject:
    module = load(folder, own_code=own_code)
    return _Subject(
        name=name,
        what=str(folder),
        module=module,
        onnx=folder / ONNX if (folder / ONNX).exists() else None,
        macs=read_architecture(folder, own_code=own_code).macs,
    )


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


@dataclass(frozen=True, kw_only=True)
class _Call:
    """One network, ready to be run on one batch."""

    run: Callable[[], Any]
    timing: Timing  # with times still to come


def _in_pytorch(subjects: Sequence[_Subject], shape: Shape, batch: int) -> list[_Call]:
    device = choose_device()
    calls = []
    for subject in subjects:
        module = subject.module.to(device)
        for_convolutions(module)
        images = torch.zeros(batch, *shape, device=device)
        images = laid_out(images)
        run = partial(torch.inference_mode()(module), images)
        timing = Timing(
            network=subject.name,
            runtime="PyTorch",
            device=device_name(device),
            batch=batch,
            peak_bytes=_cuda_peak_bytes(run) if device.type == "cuda" else None,
        )
        calls.append(_Call(run=run, timing=timing))
    return calls


def _cuda_peak_bytes(run: Callable[[], Any]) -> int:
    run()
    torch.cuda.reset_peak_memory_stats()
    run()
    return torch.cuda.max_memory_allocated()


def _in_onnxruntime(subjects: Sequence[_Subject], shape: Shape, batch: int) -> list[_Call]:
    threads = torch.get_num_threads()
    return [
        _Call(
            run=partial(
                open_onnx(subject.onnx, threads=threads),
                np.zeros((batch, *shape), dtype=np.float32),
            ),
            timing=Timing(
                network=subject.name,
                runtime="onnxruntime",
                device=cpu_name(),
                batch=batch,
                peak_bytes=peak_bytes(subject.onnx, batch, shape, threads=threads),
            ),
        )
        for subject in subjects
        if subject.onnx is not None
    ]


def _take_turns(calls: Sequence[_Call], seconds: float) -> list[Timing]:
    """Time calls in turn, each for about so many seconds."""
    timers = [
        Timer("run()", globals={"run": call.run}, num_threads=torch.get_num_threads())
        for call in calls
    ]
    once = [max(timer.timeit(_WARM_UP).median, 1e-9) for timer in timers]
    numbers = [math.ceil(_SHORTEST_SECONDS / time) for time in once]
    longest = max(number * time for number, time in zip(numbers, once, strict=True))
    rounds = min(max(round(seconds / longest), _ROUNDS[0]), _ROUNDS[1])
    meter = EnergyMeter()
    taken: list[list[Measurement]] = [[] for _ in calls]
    joules = [0.0 for _ in calls]
    what = f"timing {calls[0].timing.runtime} at batch {calls[0].timing.batch}"
    for turn in each(range(rounds), what, rounds):
        order = range(len(calls))
        for i in order if turn % 2 else reversed(order):  # nobody is always second
            before = meter.read()
            taken[i].append(timers[i].timeit(numbers[i]))
            joules[i] += meter.joules_since(before)
    timings = []
    for i, call in enumerate(calls):
        (merged,) = Measurement.merge(taken[i])
        images = rounds * numbers[i] * call.timing.batch
        timings.append(
            replace(
                call.timing,
                median_ms=merged.median * 1e3,
                iqr_ms=merged.iqr * 1e3,
                calls=rounds,
                joules_per_image=joules[i] / images if meter.present else None,
            )
        )
    return timings


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
