"""Check that this machine has what a search needs, by trying each part for real."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from autodepth.records.cache_place import cache_location
from autodepth.records.mlflow.sync import default_tracking_uri
from autodepth.records.studies import studies_root
from autodepth.units import format_bytes
from autodepth.version import __version__

Verdict = Literal["ok", "warning", "problem"]

PACKAGES = ("torch", "torchvision", "ray", "optuna", "mlflow", "numpy")
_ENOUGH, _LITTLE = 5e9, 0.5e9  # bytes free: a study keeps its front's weights and a cache of 4 GB
_MLFLOW_SECONDS = 5
_RAY_SECONDS = 120
_TRY_RAY = """
from autodepth.study.plan.resources import Resources
from autodepth.study.ray.local import ray, start_local
start_local(Resources(device="cpu", count=1, cpus=1, gpus=0))
print("answer", ray.get(ray.remote(lambda: 6 * 7).remote(), timeout=60))
"""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found about one part.

    Args:
        part: what was looked at.
        verdict: `ok`, `warning` for what works but not well, `problem` for what does not.
        text: what was found, and what to do about it.
    """

    part: str
    verdict: Verdict
    text: str

    def to_dict(self) -> dict[str, str]:
        """Return plain values fit for JSON."""
        return asdict(self)


def examine(tracking_uri: str | None = None) -> Iterator[Finding]:
    """Check one part after the other; no files are left behind.

    Args:
        tracking_uri: the MLflow store to reach; None for the one beside the studies.
    """
    for part, look in _looks(tracking_uri):
        try:
            verdict, text = look()
        except Exception as error:  # noqa: BLE001 - whatever is broken, the others are looked at
            verdict, text = "problem", f"{type(error).__name__}: {error}"
        yield Finding(part=part, verdict=verdict, text=text)


def _looks(tracking_uri: str | None) -> Iterator[tuple[str, Callable[[], tuple[Verdict, str]]]]:
    yield "autodepth", _versions
    yield "torchvision", _torchvision
    yield "CPUs", _cpus
    yield "GPUs", _gpus
    yield "bfloat16", _bfloat16
    yield "studies", lambda: _room(studies_root())
    if "://" not in cache_location():
        yield "cache", lambda: _room(Path(cache_location()))
    yield "temporary files", lambda: _room(Path(tempfile.gettempdir()))
    yield "shared memory", _shared_memory
    yield "MLflow", lambda: _mlflow(tracking_uri or default_tracking_uri(studies_root()))
    yield "Ray", _ray


def _versions() -> tuple[Verdict, str]:
    told, missing = [f"{__version__}, Python {platform.python_version()}"], []
    for name in PACKAGES:
        try:
            told.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return "problem", f"not installed: {', '.join(missing)}; {', '.join(told)}"
    return "ok", ", ".join(told)


def _torchvision() -> tuple[Verdict, str]:
    from autodepth.torchvision_door import import_torchvision  # noqa: PLC0415

    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        import_torchvision()
        return "ok", (
            "compiled operators missing (a wheel for another torch); networks and data sets work"
        )
    return "ok", "imports, compiled operators included"


def _cpus() -> tuple[Verdict, str]:
    allowed, there = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    load = os.getloadavg()[0]
    text = f"{allowed} of {there} may be used, load {load:.1f}"
    if load > 0.5 * allowed:
        return "warning", f"{text}: other work will share them, trials take longer"
    return "ok", text


def _gpus() -> tuple[Verdict, str]:
    import torch  # noqa: PLC0415

    if not torch.cuda.is_available():
        built = torch.version.cuda
        if built and shutil.which("nvidia-smi"):
            return "problem", f"nvidia-smi is there, but torch (CUDA {built}) sees no GPU"
        why = f"torch is built for CUDA {built}" if built else "torch is a CPU build"
        return "ok", f"none ({why}): trials run on CPUs, budgets are in cpu time"
    cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return "ok", ", ".join(f"{card.name} {format_bytes(card.total_memory)}" for card in cards)


def _bfloat16() -> tuple[Verdict, str]:
    from autodepth.trial.device.device import choose_device, computes_bfloat16  # noqa: PLC0415

    device = choose_device()
    name = "the GPU" if device.type == "cuda" else "the CPU"
    if computes_bfloat16(device):
        return "ok", f"{name} multiplies it: precision auto takes it"
    return "ok", f"{name} would emulate it: precision auto takes float32"


def _room(folder: Path) -> tuple[Verdict, str]:
    """Say how much room there is, and whether a file can be written."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    text = f"{folder}: {format_bytes(free)} free"
    try:
        with tempfile.NamedTemporaryFile(dir=there) as file:
            file.write(b"0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return "problem", f"{folder}: cannot be written to: {error.strerror}"
    if free < _LITTLE:
        return "problem", f"{text}: too little; make room or set AUTODEPTH_HOME elsewhere"
    return ("ok" if free > _ENOUGH else "warning"), text


def _shared_memory() -> tuple[Verdict, str]:
    place = Path("/dev/shm")  # noqa: S108 - Ray keeps its objects there
    if not place.exists():
        return "ok", "none here"
    free = shutil.disk_usage(place).free
    text = f"{format_bytes(free)} free"
    if free < _LITTLE:
        return "warning", f"{text}: Ray falls back to disk; in Docker give --shm-size=2g"
    return "ok", text


def _mlflow(uri: str) -> tuple[Verdict, str]:
    kind = urlsplit(uri).scheme
    if kind in {"http", "https"}:
        return _server(uri)
    if kind.startswith("sqlite"):
        path = Path(uri.partition("///")[2])
        verdict, text = _room(path.parent)
        return verdict, f"a file, {path.name} in {text}"
    return "ok", f"{_without_secrets(uri)}: not tried"


def _server(uri: str) -> tuple[Verdict, str]:
    place = _without_secrets(uri)
    try:
        with urllib.request.urlopen(  # noqa: S310 - http or https, told by the person
            f"{uri.rstrip('/')}/health", timeout=_MLFLOW_SECONDS
        ) as answer:
            text = answer.read(64).decode(errors="replace").strip()
    except urllib.error.HTTPError as error:
        return "problem", f"{place} answers with status {error.code}"
    except OSError as error:
        why = getattr(error, "reason", error)
        return "problem", (
            f"{place} cannot be reached ({why}); searches run without it, "
            "`autodepth sync` sends what it missed"
        )
    if text != "OK":
        return "warning", f"{place} answers, but not as an MLflow server does"
    return "ok", f"{place} answers"


def _without_secrets(uri: str) -> str:
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _ray() -> tuple[Verdict, str]:
    """Start a Ray of its own in a process of its own, and have it compute something."""
    try:
        done = subprocess.run(  # noqa: S603 - nothing from outside
            [sys.executable, "-P", "-c", _TRY_RAY],  # nothing of the current folder
            capture_output=True, text=True, timeout=_RAY_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "problem", f"a local Ray did not start within {_RAY_SECONDS} s"
    if "answer 42" in done.stdout:
        return "ok", "a local Ray starts and computes"
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return "problem", f"a local Ray does not start: {lines[-1]}"
