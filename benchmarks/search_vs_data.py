"""Images of `search_vs_plain_tune.py`: one .npz that all contestants read, and one split of it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

from autodepth.data.images import ArrayImages, FileImages, Images
from autodepth.data.load import ImageData
from autodepth.data.reading.folders import read_folder
from autodepth.data.splits import split_off

DATA = ("digits", "cifar10-jpeg")
CIFAR_IMAGES = 5000
_DIGITS_TRAINING = 1437  # the peer's numbers
_FEWEST_VALIDATION = 200


def write_images(data: str, to: Path, *, seed: int, cifar: Path, test_images: int) -> None:
    """Write `x_train`, `y_train`, `x_test`, `y_test`.

    Args:
        data: `digits`, made as the peer makes it, or `cifar10-jpeg`.
        to: the .npz to write.
        seed: chooses the training images of CIFAR-10, evenly over classes.
        cifar: a folder with train/CLASS/ and test/CLASS/; not read for digits.
        test_images: test images at most, evenly over classes and the same for every seed.
    """
    train, test = _digits() if data == "digits" else _cifar(cifar, seed)
    if test_images < len(test):
        test = test.subset(split_off(test.labels, test_images, 0)[0])
    np.savez(to, x_train=train.pixels, y_train=train.labels, x_test=test.pixels, y_test=test.labels)


def _digits() -> tuple[ArrayImages, ArrayImages]:
    found = load_digits()
    pixels = (found.images * 15.9375).astype(np.uint8)[..., None].repeat(3, -1)
    order = np.random.default_rng(0).permutation(len(pixels))
    images = ArrayImages(pixels[order], found.target[order].astype(np.int64))
    parts = np.split(np.arange(len(images)), [_DIGITS_TRAINING])
    return images.subset(parts[0]), images.subset(parts[1])


def _cifar(folder: Path, seed: int) -> tuple[ArrayImages, ArrayImages]:
    parts = read_folder(folder, None)
    train, test = _in_memory(parts.train), _in_memory(parts.test())
    return train.subset(split_off(train.labels, CIFAR_IMAGES, seed)[0]), test


def _in_memory(images: Images) -> ArrayImages:
    return images.decode_all() if isinstance(images, FileImages) else images


def validation_count(training_images: int) -> int:
    """Return how many of the training images the peer validates on."""
    return max(_FEWEST_VALIDATION, training_images // 10)


def peer_split(images: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the positions of the training and the validation images, as the peer has them."""
    order = np.random.default_rng(1).permutation(images)
    count = validation_count(images)
    return order[count:], order[:count]


def split_as_the_peer(data: ImageData, path: Path) -> ImageData:
    """Return data with the images of an .npz split as the peer splits them."""
    with np.load(path) as arrays:
        images = ArrayImages(arrays["x_train"], arrays["y_train"].astype(np.int64))
    train, validation = (images.subset(part) for part in peer_split(len(images)))
    digests = train.digest() + validation.digest()
    return replace(
        data,
        train=train,
        validation=validation,
        fingerprint=hashlib.sha256(digests.encode()).hexdigest(),
    )


def space_settings(path: Path) -> list[str]:
    """Return the settings of a space that make its data the peer's.

    Normalisation takes all training images, those of the validation split included.
    """
    with np.load(path) as arrays:
        pixels = arrays["x_train"]
    constants: dict[str, Any] = {
        "mean": (pixels.mean((0, 1, 2)) / 255).tolist(),
        "std": (pixels.std((0, 1, 2)) / 255 + 1e-6).tolist(),
    }
    text = ", ".join(f"{name}: {values}" for name, values in constants.items())
    return [
        "data.train_images=null",
        f"data.validation={validation_count(len(pixels))}",
        "data.augment=none",
        f"data.normalisation={{{text}}}",
    ]
