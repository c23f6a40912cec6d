"""Where images come from: one reader per kind of data set, training and test part apart.

The test part never depends on a person's settings: sets that come without one have a fifth of
their images split off by a seed fixed here, so no choice of `split_seed` can train on them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autodepth.data.images import ArrayImages, keys_of
from autodepth.data.reading.array_images import class_names, labelled_images
from autodepth.data.reading.folders import Parts, read_folder, read_unlabelled
from autodepth.data.reading.hub_images import read_hub_images
from autodepth.data.reading.npz_file import read_npz
from autodepth.data.settings import HUB, DataSettings
from autodepth.data.splits import Part, halve_test, split_test
from autodepth.errors import DataError
from autodepth.long_work import long_work
from autodepth.torchvision_door import downloads_shown, import_torchvision

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


class _Named(NamedTuple):
    """A data set torchvision can fetch, and the files it is looked for in below the root."""

    dataset: str
    files: str


_TORCHVISION = {
    "cifar10": _Named("CIFAR10", "cifar-10-python.tar.gz"),
    "cifar100": _Named("CIFAR100", "cifar-100-python.tar.gz"),
    "svhn": _Named("SVHN", "train_32x32.mat and test_32x32.mat"),
    "fashion-mnist": _Named("FashionMNIST", "the four FashionMNIST/raw/*-ubyte.gz files"),
}


def read_parts(settings: DataSettings) -> Parts:
    """Return the images of a source, as it has them, the test part apart.

    Raises:
        DataError: the data is missing, unreadable, or not what it must be.
    """
    parts = _read_source(settings)
    return parts if settings.validation_from == "train" else _test_halved(parts, settings)


def _test_halved(parts: Parts, settings: DataSettings) -> Parts:
    """Return a source with half of its test part to validate by."""
    if parts.validation is not None or settings.unlabelled:
        lacking = "has no labels" if settings.unlabelled else "has a validation part of its own"
        raise DataError(
            f"data.validation_from must be train where the source {lacking}, as {settings.name} "
            "does, but got 'test'"
        )
    whole = parts.test()
    validation, test = (whole.subset(half) for half in halve_test(whole.labels, keys_of(whole)))
    return replace(parts, validation=validation, test=lambda: test)


def _read_source(settings: DataSettings) -> Parts:
    kind, _, path = settings.name.partition(":")
    if kind == "folder":
        by_content = settings.split_rule == "content"
        return read_folder(Path(path).expanduser(), settings.image_size, by_content=by_content)
    if settings.name.startswith(HUB):
        return read_hub_images(path, settings.image_size)
    if settings.unlabelled:
        return read_unlabelled(Path(path).expanduser(), settings.image_size)
    if kind == "npz":
        return _read_npz(Path(path).expanduser())
    if kind == "digits":
        return _read_digits()
    if kind not in _TORCHVISION:
        raise DataError(
            f"{kind}:PATH holds no images with one label each: name a task that takes it"
        )
    root = Path(settings.root).expanduser()
    train, classes = _read_torchvision(kind, root, "train")
    return Parts(
        train=train, test=lambda: _read_torchvision(kind, root, "test")[0], classes=classes
    )


def _read_digits() -> Parts:
    from sklearn.datasets import load_digits  # noqa: PLC0415  (half a second, only for this set)

    digits = load_digits()
    # Stored as 0..16; 15.9375 takes 16 to 255.
    pixels = (digits.images * 15.9375).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    images = ArrayImages(pixels, labels)
    return Parts(
        train=images.subset(split_test(labels, "train")),
        test=lambda: images.subset(split_test(labels, "test")),
        classes=tuple(str(n) for n in digits.target_names),
    )


def _read_torchvision(name: str, root: Path, part: Part) -> tuple[ArrayImages, tuple[str, ...]]:
    dataset, files = _TORCHVISION[name]
    make = getattr(import_torchvision().datasets, dataset)
    which: dict[str, Any] = {"split": part} if name == "svhn" else {"train": part == "train"}
    try:
        # CIFAR comes as pickles; torchvision opens them only if their checksums are the known ones.
        with long_work(f"fetching and reading {name}"), downloads_shown():
            found = make(root=str(root), download=True, **which)
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"{name} is not in {root} and could not be downloaded ({error}); place {files} in "
            f"{root}, or give images of your own as folder:PATH or npz:PATH"
        ) from error
    pixels, labels = np.asarray(found.data), found.labels if name == "svhn" else found.targets
    if name == "svhn":
        pixels = pixels.transpose(0, 2, 3, 1)
    pixels = np.ascontiguousarray(pixels if pixels.ndim == 4 else pixels[..., None])
    classes = [str(n) for n in range(10)] if name == "svhn" else found.classes
    return ArrayImages(pixels, np.asarray(labels, dtype=np.int64)), tuple(classes)


def _read_npz(path: Path) -> Parts:
    """Read both parts, so that a fault in the test part shows before training, not after."""
    arrays = read_npz(path, _ARRAYS)
    train, test = (
        labelled_images(arrays[f"x_{which}"], arrays[f"y_{which}"], which, path)
        for which in ("train", "test")
    )
    if train.shape != test.shape:
        raise DataError(
            f"x_train and x_test of {path} must hold images of one size, "
            f"but got {list(train.shape)} and {list(test.shape)}"
        )
    classes = class_names(train, test, path)
    return Parts(train=train, test=lambda: test, classes=classes)
