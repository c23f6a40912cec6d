"""Writing a network as an ONNX file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.export import ExportedProgram

from autodepth.errors import BundleError
from autodepth.export.formats.onnx_session import INPUT, OUTPUT
from autodepth.export.formats.torch_program import cause, quiet


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
            f"{cause(error)}"
        ) from error
