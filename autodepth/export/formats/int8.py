"""The ONNX file in eight-bit integers: smaller, faster where the CPU multiplies integers well.

It is another network than the 32-bit one, so it is not compared with that score by score: its
accuracy on the validation split is told beside that of the original.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from autodepth.data.batches import Batches
from autodepth.data.images import Images
from autodepth.data.load import ImageData
from autodepth.export.bundles.architecture import Architecture
from autodepth.trial.device.runtimes.formats.int8_file import calibrating, write_int8
from autodepth.trial.device.runtimes.formats.onnx_session import Array, open_onnx

_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """Accuracy and size of a network in eight-bit integers.

    Args:
        file: its name.
        calibration_images: training images that told the ranges of activations.
        validation_images: images both accuracies are of.
        validation_accuracy: top-1 fraction of the eight-bit file, by onnxruntime.
        float_accuracy: the same of the 32-bit file.
    """

    file: str
    calibration_images: int
    validation_images: int
    validation_accuracy: float
    float_accuracy: float

    def __str__(self) -> str:
        """Return a line of at most 80 columns for a person."""
        return (
            f"{self.file}: {self.validation_accuracy:.1%} validation accuracy, "
            f"{self.float_accuracy:.1%} in 32 bits"
        )


def quantise(original: Path, to: Path, architecture: Architecture, data: ImageData) -> Quantised:
    """Write an ONNX file in eight-bit integers, and measure it.

    Args:
        original: the 32-bit file.
        to: the file to write.
        architecture: tells the normalisation.
        data: its training images calibrate, its validation images measure.

    Raises:
        BundleError: onnxruntime cannot quantise the network.
    """
    sample = calibrating(data.train)
    write_int8(original, to, (images for images, _ in _prepared(sample, architecture)))
    return Quantised(
        file=to.name,
        calibration_images=len(sample),
        validation_images=len(data.validation),
        validation_accuracy=_accuracy(to, architecture, data.validation),
        float_accuracy=_accuracy(original, architecture, data.validation),
    )


def _prepared(
    images: Images, architecture: Architecture
) -> Iterator[tuple[Array, npt.NDArray[np.int64]]]:
    batches = Batches(
        images,
        batch_size=_BATCH,
        device="cpu",
        normalisation=architecture.normalisation,
        channels=architecture.network.channels,
        channels_last=False,
    )
    for x, y in batches:
        yield x.numpy(), y.numpy()


def _accuracy(file: Path, architecture: Architecture, images: Images) -> float:
    run = open_onnx(file, threads=torch.get_num_threads())
    right = sum(int((run(x).argmax(1) == y).sum()) for x, y in _prepared(images, architecture))
    return right / len(images)
