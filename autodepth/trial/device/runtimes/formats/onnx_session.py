"""Running ONNX files by onnxruntime on the CPU, without torch: the one way in to onnxruntime."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32]
Run: TypeAlias = Callable[[Array], Array]
"""From normalised images [B, C, H, W] to scores [B, classes]."""

INPUT, OUTPUT = "images", "scores"
_PROCESS = Path("/proc/self")


def open_onnx(path: Path, *, threads: int) -> Run:
    """Return what runs an ONNX file on the CPU by onnxruntime.

    Args:
        path: the file.
        threads: CPU threads that one operator may use.
    """
    session = _session(path, threads)

    def run(images: Array) -> Array:
        scores: Array = session.run([OUTPUT], {INPUT: images})[0]
        return scores

    return run


def open_to_time(path: Path, *, threads: int, batch: int) -> Callable[[], object]:
    """Return what runs an ONNX file once, on zeros.

    Args:
        path: the file.
        threads: CPU threads that one operator may use.
        batch: images per pass.
    """
    session = _session(path, threads)
    (given,) = session.get_inputs()
    images = {given.name: np.zeros((batch, *given.shape[1:]), dtype=np.float32)}
    return lambda: session.run(None, images)


def load_quantisation() -> ModuleType:
    """Return onnxruntime's tools for quantising, their preparation of files among them."""
    import onnxruntime.quantization.shape_inference  # noqa: PLC0415

    module: ModuleType = onnxruntime.quantization
    return module


def _session(path: Path, threads: int) -> Any:
    import onnxruntime  # noqa: PLC0415 - only where an ONNX file is run

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def peak_bytes(path: Path, batch: int, shape: tuple[int, ...], *, threads: int) -> int | None:
    """Return how far the memory of a fresh process rises when it opens and runs an ONNX file.

    Python, numpy and onnxruntime are loaded before the count begins.

    Args:
        path: the file.
        batch: images per run.
        shape: (C, H, W) of one image.
        threads: CPU threads.

    Returns:
        Bytes of resident memory; None where the system does not tell (it is Linux that does).
    """
    if not (_PROCESS / "status").exists():
        return None
    numbers = map(str, (batch, *shape, threads))
    # This very interpreter and this file; nothing a person wrote is run.
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", __name__, str(path), *numbers],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout)


def _measure(path: Path, batch: int, shape: tuple[int, ...], threads: int) -> int:
    import onnxruntime  # noqa: F401, PLC0415 - loaded before the count begins

    images = np.zeros((batch, *shape), dtype=np.float32)
    with suppress(OSError):
        (_PROCESS / "clear_refs").write_text("5")  # the peak so far was of the imports
    before = _memory("VmRSS")
    run = open_onnx(path, threads=threads)
    run(images)
    run(images)
    return _memory("VmHWM") - before


def _memory(field: str) -> int:
    lines = (_PROCESS / "status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    file, *counts = sys.argv[1:]
    batch, channels, height, width, threads = map(int, counts)
    sys.stdout.write(str(_measure(Path(file), batch, (channels, height, width), threads)))
