"""Writing a network as an ONNX file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.export import ExportedProgram

from autodepth.errors import BundleError
from autodepth.networks.pruning.plain_weights import with_plain_weights
from autodepth.trial.device.runtimes.formats.onnx_session import INPUT, OUTPUT
from autodepth.trial.device.runtimes.formats.torch_program import cause, make_program, quiet


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


def write_onnx_to_time(module: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    """Write a network as ONNX for images of one shape, to be timed and thrown away.

    The older exporter of torch takes 0.3 s of CPU for ResNet-56 where the one of programs takes 6;
    what it cannot write the other does.

    Args:
        module: a network in evaluation mode, on the CPU.
        shape: (B, C, H, W) of the images.
        path: the file to write.

    Raises:
        BundleError: neither can write the network.
    """
    module = with_plain_weights(module)
    try:
        with quiet(), torch.no_grad():
            torch.onnx.export(
                module, (torch.zeros(shape),), path, dynamo=False, input_names=[INPUT]
            )
    except Exception:  # noqa: BLE001 - it lets through whatever it meets
        batch, *image = shape
        write_onnx(make_program(module, tuple(image), only_batch=batch), path)
