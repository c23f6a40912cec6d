"""Arrays as people bring them: taken as images and classes, or refused with the way out.

Shapes: N images, H height, W width, C channels, K classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autodepth.data.images import ArrayImages
from autodepth.errors import DataError

# How numbers of another kind become uint8, by the kind of their type.
_TO_BYTES = {
    "b": "x.astype(np.uint8) * 255",
    "f": "np.clip(x * 255, 0, 255).round().astype(np.uint8) where x is in [0, 1]",
    "u": "(x >> 8).astype(np.uint8) where x has 16 bits",
    "i": "x.astype(np.uint8) where x is in 0 to 255",
}


def labelled_images(
    pixels: npt.NDArray[Any], labels: npt.NDArray[Any], part: str, path: Path
) -> ArrayImages:
    """Return images with their classes.

    Args:
        pixels: uint8 [N, H, W] or [N, H, W, C].
        labels: whole numbers from 0, [N] or [N, 1].
        part: `train` or `test`.
        path: the file they are from.

    Raises:
        DataError: they are something else.
    """
    return ArrayImages(
        _pixels(f"x_{part} of {path}", pixels),
        _labels(f"y_{part} of {path}", labels, len(pixels)),
    )


def class_names(train: ArrayImages, test: ArrayImages, path: Path) -> tuple[str, ...]:
    """Return the numbers of the classes as their names.

    Raises:
        DataError: there is one class, one below the largest has no image to train on, or a test
            image has another.
    """
    numbers = np.unique(train.labels)
    last = int(numbers[-1])
    if last >= len(numbers):
        raise DataError(
            f"y_train of {path} must number its classes from 0 without a gap, but has "
            f"{len(numbers):,} different ones up to {last:,}; number them anew: "
            "classes, y = np.unique(y, return_inverse=True)"
        )
    if last == 0:
        raise DataError(
            f"y_train of {path} must hold at least 2 classes, but all its images are of class 0"
        )
    if test.labels.max() > last:
        raise DataError(
            f"y_test of {path} must hold labels of y_train, 0 to {last}, "
            f"but got {test.labels.max()}"
        )
    return tuple(map(str, range(last + 1)))


def _pixels(where: str, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    grey = pixels.ndim == 3
    if pixels.dtype != np.uint8 or not (grey or (pixels.ndim == 4 and pixels.shape[3] in (1, 3))):
        raise DataError(
            f"{where} must be uint8 (0 to 255) of shape [N, H, W], [N, H, W, 1] or [N, H, W, 3], "
            f"but got {pixels.dtype} {list(pixels.shape)}{_way_out(pixels)}"
        )
    if not pixels.size:
        raise DataError(f"{where} must hold images, but is empty: {list(pixels.shape)}")
    return pixels[..., None] if grey else pixels


def _way_out(pixels: npt.NDArray[Any]) -> str:
    if pixels.dtype != np.uint8:
        convert = _TO_BYTES.get(pixels.dtype.kind)
        return f"; convert them: {convert}" if convert else ""
    if pixels.ndim == 4 and pixels.shape[1] in (1, 3):
        return "; the channels must come last: x.transpose(0, 2, 3, 1)"
    if pixels.ndim == 4 and pixels.shape[3] == 4:
        return "; leave the transparency out: x[..., :3]"
    return ""


def _labels(where: str, labels: npt.NDArray[Any], images: int) -> npt.NDArray[np.int64]:
    if labels.dtype.kind not in "iu" or labels.shape not in ((images,), (images, 1)):
        raise DataError(
            f"{where} must be {images} whole numbers, one class per image, "
            f"but got {labels.dtype} {list(labels.shape)}{_label_way_out(labels, images)}"
        )
    if int(labels.min()) < 0:
        raise DataError(f"{where} must hold classes from 0, but got {labels.min()}")
    if int(labels.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{where} must hold classes below 2^63, but got {labels.max()}")
    return labels.reshape(-1).astype(np.int64)


def _label_way_out(labels: npt.NDArray[Any], images: int) -> str:
    if labels.ndim == 2 and len(labels) == images and labels.shape[1] > 1:
        return "; where it has a column per class: y.argmax(axis=1)"
    if len(labels.shape) in {1, 2} and len(labels) == images:
        if labels.dtype.kind in "US":
            return "; number the names: classes, y = np.unique(y, return_inverse=True)"
        if labels.dtype.kind in "bf":
            return "; where they are whole: y.astype(np.int64)"
    return ""
