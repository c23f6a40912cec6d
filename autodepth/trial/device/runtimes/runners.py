"""Runners of latency: where networks are timed, each behind the same three methods.

`torch` times in this process. All others take files to a program within a time limit: our own for
onnxruntime, OpenVINO, ExecuTorch and torch.compile, and a person's for `command`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from autodepth.errors import MeasurementError
from autodepth.networks.running.copying import copied
from autodepth.networks.running.layout import for_convolutions, laid_out
from autodepth.space.sections.latency_section import LatencySection
from autodepth.trial.device.energy import energy_meter
from autodepth.trial.device.latency import clock_of
from autodepth.trial.device.runtimes.formats.executorch_file import write_executorch
from autodepth.trial.device.runtimes.formats.onnx_file import write_onnx_to_time
from autodepth.trial.device.runtimes.formats.torch_program import Shape, make_program, write_program
from autodepth.trial.device.runtimes.program import read_ms, run_program
from autodepth.trial.device.threads import on_threads
from autodepth.trial.device.turns import Latency, times_by_turns

Prepared = TypeVar("Prepared")
SECONDS = 0.3  # for each network
_EXTRAS = ("openvino", "executorch")  # packages that are named like their runner and their extra


class Runner(Protocol[Prepared]):
    """Where networks are timed."""

    def prepare(self, network: nn.Module | Path, shape: Shape) -> Prepared:
        """Bring a network, or an ONNX file of one, into the form this runner takes.

        Args:
            network: in evaluation mode; left as it is.
            shape: (C, H, W) of one image.

        Raises:
            MeasurementError: it has no such form.
        """

    def measure(self, networks: Sequence[Prepared], seconds: float = SECONDS) -> list[Latency]:
        """Time networks by turns.

        Args:
            networks: prepared, at least one.
            seconds: time for each; a program of a person's own takes what it takes.

        Raises:
            MeasurementError: there is a reason that no time is known.
        """

    def close(self) -> None:
        """Give back what was taken: files of networks."""


def open_runner(place: LatencySection, device: torch.device | None = None) -> Runner[Any]:
    """Return the runner of a place.

    Args:
        place: its settings, see `latency` in a space file.
        device: of `torch`; None for the CPU.

    Raises:
        MeasurementError: the package of its runtime is not installed.
    """
    if place.on in _EXTRAS and find_spec(place.on) is None:
        raise MeasurementError(f"{place.on} needs its package: pip install autodepth[{place.on}]")
    if place.on == "torch":
        return _InTorch(place, device or torch.device("cpu"))
    return _ByProgram(place)


class _InTorch:
    """Times in this process, without compiling."""

    def __init__(self, place: LatencySection, device: torch.device) -> None:
        self._place, self._device = place, device

    def prepare(self, network: nn.Module | Path, shape: Shape) -> Callable[[], object]:
        if isinstance(network, Path):
            raise MeasurementError("PyTorch runs no ONNX file")
        module = copied(network).eval().to(self._device)
        for_convolutions(module)
        images = torch.zeros(self._place.batch, *shape, device=self._device)
        images = laid_out(images)
        return partial(torch.inference_mode()(module), images)

    def measure(
        self, networks: Sequence[Callable[[], object]], seconds: float = SECONDS
    ) -> list[Latency]:
        with on_threads(self._place.threads):
            clock, warm_up = clock_of(self._device), self._place.warm_up
            return times_by_turns(
                networks, clock, warm_up=warm_up, seconds=seconds, joules=energy_meter()
            )

    def close(self) -> None:
        pass


class _ByProgram:
    """Times files by a program."""

    def __init__(self, place: LatencySection) -> None:
        self._place = place
        self._scratch = tempfile.TemporaryDirectory(prefix="autodepth-latency-")
        self._count = 0

    def prepare(self, network: nn.Module | Path, shape: Shape) -> Path:
        self._count += 1
        file = Path(self._scratch.name, f"network{self._count}{self._place.suffix}")
        if isinstance(network, Path):
            if self._place.suffix != ".onnx":
                raise MeasurementError(f"{self._place.on} runs no ONNX file")
            file.write_bytes(network.read_bytes())
            return file
        module, batch = copied(network).cpu().eval(), self._place.batch
        try:
            if self._place.suffix == ".onnx":
                write_onnx_to_time(module, (batch, *shape), file)
            elif self._place.suffix == ".pte":
                write_executorch(module, shape, file, only_batch=batch)
            else:
                write_program(make_program(module, shape, only_batch=batch), file)
                file.with_suffix(".json").write_text(json.dumps(shape))
        except Exception as error:  # exporters let through whatever the network raises
            raise MeasurementError(f"the network cannot be written: {error}") from error
        return file

    def measure(self, networks: Sequence[Path], seconds: float = SECONDS) -> list[Latency]:
        if self._place.command is not None:
            return self._by_command(self._place.command, networks)
        place = self._place
        command = [
            sys.executable, "-m", "autodepth.trial.device.runtimes.timed",
            "--on", str(place.on), "--threads", str(place.threads),
            "--batch", str(place.batch),
            "--warm-up", str(place.warm_up), "--seconds", str(seconds), *map(str, networks),
        ]  # fmt: skip
        threads = {"OMP_NUM_THREADS": str(place.threads)}
        # The limit is of one network, and so is the one of a program of a person's own.
        printed = run_program(command, place.limit_seconds * len(networks), threads)
        try:
            return [Latency(**values) for values in json.loads(printed.splitlines()[-1])]
        except (ValueError, IndexError, TypeError):
            raise MeasurementError("printed no times") from None

    def close(self) -> None:
        self._scratch.cleanup()

    def _by_command(self, command: str, networks: Sequence[Path]) -> list[Latency]:
        found = []
        with _alone(command):  # trials beside each other would time each other
            for file in networks:
                values = {
                    "onnx": shlex.quote(str(file)),
                    "batch": str(self._place.batch),
                    "threads": str(self._place.threads),
                    "warm_up": str(self._place.warm_up),
                }
                text = command
                for name, value in values.items():
                    text = text.replace(f"{{{name}}}", value)
                found.append(Latency(ms=read_ms(run_program(text, self._place.limit_seconds))))
        return found


@contextmanager
def _alone(command: str) -> Iterator[None]:
    """Let one process of this host at a time use what a command leads to."""
    name = hashlib.sha256(command.encode()).hexdigest()[:16]
    with Path(tempfile.gettempdir(), f"autodepth-{os.getuid()}-latency-{name}.lock").open(
        "w"
    ) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
