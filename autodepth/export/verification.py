"""Compares each file of a bundle with the searched network before the bundle gets its name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autodepth.errors import BundleError
from autodepth.export.bundles.bundle import EXECUTORCH, ONNX, PROGRAM, WEIGHTS
from autodepth.export.formats.int8 import Quantised
from autodepth.long_work import Advance, long_work
from autodepth.trial.device.device import cpu_name
from autodepth.trial.device.runtimes.formats.executorch_file import open_executorch
from autodepth.trial.device.runtimes.formats.onnx_session import open_onnx
from autodepth.trial.device.runtimes.formats.torch_program import (
    Shape,
    program_macs,
    read_own_program,
)

INPUTS, BATCHES, SEED = 256, (1, 7, 64), 0
# Largest difference of a score, as a share of the largest score. The same kernels on the same
# weights give the same bits. torch.export takes attention apart; onnxruntime and ExecuTorch have
# kernels of their own, with batch normalisation folded into convolutions: docs/export.md has what
# was seen.
TOLERANCES = {WEIGHTS: 0.0, PROGRAM: 1e-5, ONNX: 1e-4, EXECUTORCH: 1e-4}

Scores = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One file compared with the searched network.

    Args:
        file: its name.
        tolerance: what a difference may be at most.
        differences: by batch size, the largest difference of a score, as a share of the largest
            score of the searched network.
        macs: multiply-accumulates per image, counted again; None where there is no counter.
    """

    file: str
    tolerance: float
    differences: Mapping[int, float]
    macs: int | None

    @property
    def worst(self) -> float:
        """The largest of the differences."""
        return max(self.differences.values())

    def __str__(self) -> str:
        """Return a line of at most 80 columns for a person."""
        found = f"off by {self.worst:.0e}" if self.worst else "equal"
        sizes = ", ".join(map(str, self.differences))
        return f"{self.file} verified: {found} at batch {sizes}"


class Reference:
    """Scores of the searched network for the inputs, by batch size.

    Args:
        searched: the network, in evaluation mode, on the CPU.
        input_shape: (C, H, W) of one image.
        macs: its multiply-accumulates per image.
        free: names of what counts as 0 of them.

    Raises:
        BundleError: it gives every image the same scores, so nothing can be compared with it.
    """

    def __init__(
        self, searched: nn.Module, input_shape: Shape, macs: int, free: Sequence[str] = ()
    ) -> None:
        generator = torch.Generator().manual_seed(SEED)
        self.input_shape = input_shape
        self.macs = macs
        self.free = free
        self._images = torch.randn(INPUTS, *input_shape, generator=generator)
        with _images_told("running the searched network") as advance:
            self._scores = {batch: self._run(searched, batch, advance) for batch in BATCHES}
        scores = self._scores[BATCHES[-1]]
        if (scores == scores[0]).all():
            raise BundleError(
                "a network can be exported if its scores depend on the image, but this one gives "
                "all images the same: it was never trained, or training failed"
            )

    def check(self, file: str, scores: Scores, *, macs: int | None) -> Check:
        """Compare the scores of a file with those of the searched network.

        Args:
            file: its name, a key of `TOLERANCES`.
            scores: runs it on a batch of any size.
            macs: its multiply-accumulates, counted again; None where they cannot be.

        Raises:
            BundleError: it does not run, or differs by more than its tolerance, or in its MACs.
        """
        with _images_told(f"verifying {file}") as advance:
            differences = {b: self._difference(file, scores, b, advance) for b in BATCHES}
        check = Check(file=file, tolerance=TOLERANCES[file], differences=differences, macs=macs)
        for batch, difference in differences.items():
            if not difference <= check.tolerance:  # nor NaN
                raise BundleError(
                    f"{file} is not the searched network: at batch size {batch} its scores differ "
                    f"by {difference:.1e} of the largest score, and {check.tolerance:g} is allowed"
                )
        if macs not in {None, self.macs}:
            raise BundleError(f"{file} has {macs:,} MACs, but {self.macs:,} were searched")
        return check

    def _difference(self, file: str, scores: Scores, batch: int, advance: Advance) -> float:
        expected = self._scores[batch]
        try:
            found = self._run(scores, batch, advance)
        except Exception as error:  # whatever a runtime raises, the file is of no use
            raise BundleError(f"{file} does not run at batch size {batch}: {error}") from error
        if found.shape != expected.shape:
            return math.inf
        largest, apart = expected.abs().max().item(), (found - expected).abs().max().item()
        return apart / largest if apart and largest else apart

    @torch.inference_mode()
    def _run(self, scores: Scores, batch: int, advance: Advance) -> Tensor:
        found = []
        for images in torch.split(self._images, batch):
            found.append(scores(images))
            advance(len(images))
        return torch.cat(found)


def _images_told(what: str) -> AbstractContextManager[Advance]:
    return long_work(what, INPUTS * len(BATCHES))


def check_program(path: Path, reference: Reference) -> Check:
    """Load a program of torch.export that was just written, and compare it.

    Raises:
        BundleError: it is not the searched network.
    """
    program = read_own_program(path)
    macs = program_macs(program, reference.input_shape, reference.free)
    return reference.check(path.name, program, macs=macs)


def check_onnx(path: Path, reference: Reference) -> Check:
    """Load an ONNX file, and compare it.

    Raises:
        BundleError: it is not the searched network.
    """
    run = open_onnx(path, threads=torch.get_num_threads())
    return reference.check(
        path.name, lambda images: torch.from_numpy(run(images.numpy())), macs=None
    )


def check_executorch(path: Path, reference: Reference) -> Check:
    """Load an ExecuTorch program, and compare it.

    Raises:
        BundleError: it is not the searched network.
    """
    return reference.check(path.name, open_executorch(path), macs=None)


def told(checks: Sequence[Check], quantised: Quantised | None) -> dict[str, Any]:
    """Return the content of `verification.json`: how files were compared, and the outcome."""
    libraries = ["torch", "onnx", "onnxscript", "onnxruntime"]
    libraries += ["executorch"] * any(check.file == EXECUTORCH for check in checks)
    return {
        "compared_with": "the searched network in PyTorch, on the CPU, at the same batch sizes",
        "inputs": f"{INPUTS} images of standard normal values, torch generator, seed {SEED}",
        "difference": "largest difference of a score, as a share of the largest score",
        "files": [asdict(check) for check in checks],
        "int8": None if quantised is None else asdict(quantised),
        "libraries": {name: version(name) for name in libraries},
        "cpu": cpu_name(),
    }
