"""The way to ONNX files and to onnxruntime, which runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch.export import ExportedProgram

from autodepth.errors import BundleError
from autodepth.export.torch_program import first_line, quiet

Array: TypeAlias = npt.NDArray[np.float32]
Run: TypeAlias = Callable[[Array], Array]
"""From normalised images [B, C, H, W] to scores [B, classes]."""

INPUT, OUTPUT = "images", "scores"


def write_onnx(program: ExportedProgram, path: Path) -> None:
    """Write a program as ONNX; weights above 2 GB go into a file beside it.

    Raises:
        BundleError: an operator of the program has no counterpart in ONNX.
    """
    try:
        with quiet():
            written = torch.onnx.export(
                program, input_names=[INPUT], output_names=[OUTPUT], verbose=False
            )
            assert written is not None
            written.save(path)
    except Exception as error:  # the exporter lets through whatever its libraries raise
        raise BundleError(
            f"torch.onnx cannot export the network; what else there is goes by --formats torch: "
            f"{first_line(error)}"
        ) from error


def open_onnx(path: Path, *, threads: int) -> Run:
    """Return what runs an ONNX file on the CPU by onnxruntime.

    Args:
        path: the file.
        threads: CPU threads that one operator may use.
    """
    import onnxruntime  # noqa: PLC0415 - only where an ONNX file is run

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(images: Array) -> Array:
        scores: Array = session.run([OUTPUT], {INPUT: images})[0]
        return scores

    return run
