"""A network as an ExecuTorch program, for phones and boards: by the extra `executorch` alone.

Convolutions and matrix products go to XNNPACK. ExecuTorch plans its memory before it runs, so a
program takes batches up to a size that is fixed here.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autodepth.errors import BundleError, InputError, MeasurementError
from autodepth.trial.device.runtimes.formats.torch_program import Shape, cause, make_program, quiet

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


def write_executorch(
    module: nn.Module, input_shape: Shape, path: Path, *, only_batch: int | None = None
) -> None:
    """Write a network for batches of 1 to `LARGEST_BATCH`, or of one size.

    Args:
        module: a network in evaluation mode, on the CPU.
        input_shape: (C, H, W) of one image.
        path: the file to write.
        only_batch: the one size it takes, in place of any.

    Raises:
        BundleError: torch.export or ExecuTorch does not get through the network.
    """
    largest = None if only_batch else LARGEST_BATCH
    program = make_program(module, input_shape, largest_batch=largest, only_batch=only_batch)
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


def open_executorch_to_time(path: Path, *, threads: int, batch: int) -> Callable[[], object]:
    """Return what runs a program once, on zeros.

    Args:
        path: of a program that takes one size of batch.
        threads: CPU threads.
        batch: that size.
    """
    with quiet():
        from executorch.extension.pybindings.portable_lib import (  # noqa: PLC0415 - an extra
            _unsafe_reset_threadpool,  # there is no other way to say it
        )

        _unsafe_reset_threadpool(threads)
        method = _method(path)
    size, *shape = method.metadata.input_tensor_meta(0).sizes()
    if size != batch:
        raise MeasurementError(f"{path.name} takes batches of {size}, but {batch} were asked for")
    images = torch.zeros(batch, *shape)
    return lambda: method.execute([images])


def open_executorch(path: Path) -> Callable[[Tensor], Tensor]:
    """Return what runs a program by ExecuTorch's runtime, from images to scores."""
    with quiet():
        method = _method(path)

    def run(images: Tensor) -> Tensor:
        scores: Tensor = method.execute([images])[0]
        return scores

    return run


def _method(path: Path) -> Any:
    from executorch.runtime import Runtime  # noqa: PLC0415 - an extra

    return Runtime.get().load_program(path).load_method("forward")
