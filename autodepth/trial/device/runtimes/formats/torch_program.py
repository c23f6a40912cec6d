"""A network as a program of torch.export: runs in torch, without the code that built it."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from autodepth.errors import BundleError
from autodepth.networks.costs.cost import counting, is_operator
from autodepth.networks.pruning.plain_weights import with_plain_weights
from autodepth.networks.running.one_thread import one_thread

Shape: TypeAlias = tuple[int, ...]

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # of terminals
# Of batch sizes 0 and 1 torch.export makes constants, so the example has two images; the program
# then takes any number. Where there is a largest number the example has it: lowering to ExecuTorch
# lets kernels narrow the range around the example, and made 15 of 64 beside an example of two.
_EXAMPLE_IMAGES = 2


def make_program(
    module: nn.Module,
    input_shape: Shape,
    *,
    largest_batch: int | None = None,
    only_batch: int | None = None,
) -> ExportedProgram:
    """Return a network as a program for batches of any size.

    Args:
        module: a network in evaluation mode, on the CPU.
        input_shape: (C, H, W) of one image.
        largest_batch: up to what size, for runtimes that plan their memory; None for any.
        only_batch: the one size it takes, in place of any.

    Raises:
        BundleError: torch.export does not get through the network.
    """
    module = with_plain_weights(module)
    images = torch.zeros(only_batch or largest_batch or _EXAMPLE_IMAGES, *input_shape)
    sizes = None if only_batch else ({0: Dim("batch", max=largest_batch)},)
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(module, (images,), dynamic_shapes=sizes)
    except Exception as error:  # torch.export lets through whatever the network raises
        raise BundleError(
            f"torch.export cannot export the network, and ONNX is made from its program; weights "
            f"and architecture alone go by --formats none: {cause(error)}"
        ) from error
    for node in program.graph.nodes:  # else files made of it tell this machine's paths
        node.meta.pop("stack_trace", None)
    return program


def write_program(program: ExportedProgram, path: Path) -> None:
    """Write a program."""
    with quiet():
        torch.export.save(program, path)


def read_own_program(path: Path) -> nn.Module:
    """Return a program that this process wrote; never one from elsewhere, for it is unpickled."""
    with quiet():
        return torch.export.load(path).module()


def program_macs(program: nn.Module, input_shape: Shape, free: Collection[str] = ()) -> int | None:
    """Return the multiply-accumulates per image of a program.

    Args:
        program: a program of torch.export, as a module.
        input_shape: (C, H, W) of one image.
        free: names of what counts as 0, see `autodepth.networks.costs.cost.counting`. A program
            holds operators, but no functions and classes: where one counts as 0 there is no count.

    Raises:
        NetworkError: an operator can neither be counted nor is known to be free.
    """
    if not all(map(is_operator, free)):
        return None
    with counting(free) as count:
        program(torch.zeros(1, *input_shape))
    return count.macs


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings and logs that exporters write for their own developers."""
    with one_thread, warnings.catch_warnings():
        disabled = logging.root.manager.disable
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(disabled)


def cause(error: BaseException) -> str:
    """Return the first line of the error at the root of a chain; exporters wrap it in pages."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    lines = (line.strip() for line in _COLOURS.sub("", str(error)).splitlines())
    return next((line for line in lines if line), type(error).__name__)
