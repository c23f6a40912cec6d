"""A network as an ExecuTorch program, for phones and boards: by the extra `executorch` alone.

Convolutions and matrix products go to XNNPACK. ExecuTorch plans its memory before it runs, so a
program takes batches up to a size that is fixed here.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn

from autodepth.errors import BundleError, InputError
from autodepth.trial.device.runtimes.torch_program import Shape, cause, make_program, quiet

LARGEST_BATCH = 64


def check_installed() -> None:
    """Refuse the format where its package is not there.

    Raises:
        InputError: executorch is not installed.
    """
    if find_spec("executorch") is None:
        raise InputError(
            "the format executorch needs its package: pip install autodepth[executorch]"
        )


def write_executorch(module: nn.Module, input_shape: Shape, path: Path) -> None:
    """Write a network for batches of 1 to `LARGEST_BATCH`.

    Args:
        module: a network in evaluation mode, on the CPU.
        input_shape: (C, H, W) of one image.
        path: the file to write.

    Raises:
        BundleError: torch.export or ExecuTorch does not get through the network.
    """
    program = make_program(module, input_shape, largest_batch=LARGEST_BATCH)
    try:
        with quiet():
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import (  # noqa: PLC0415
                XnnpackPartitioner,
            )
            from executorch.exir import to_edge_transform_and_lower  # noqa: PLC0415 - an extra

            lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
            path.write_bytes(lowered.to_executorch().buffer)
    except Exception as error:  # ExecuTorch lets through whatever its passes raise
        raise BundleError(
            f"executorch cannot export the network; leave it out of --formats: {cause(error)}"
        ) from error


def open_executorch(path: Path) -> Callable[[Tensor], Tensor]:
    """Return what runs a program by ExecuTorch's runtime, from images to scores."""
    with quiet():
        from executorch.runtime import Runtime  # noqa: PLC0415 - an extra

        method = Runtime.get().load_program(path).load_method("forward")

    def run(images: Tensor) -> Tensor:
        scores: Tensor = method.execute([images])[0]
        return scores

    return run
