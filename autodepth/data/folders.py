"""Images in class folders: PATH/train/CLASS and PATH/test/CLASS, or PATH/CLASS alone."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
from PIL import Image

from autodepth.data.images import GREY_MODES, UNREADABLE, FileImages, Images
from autodepth.data.splits import Part, check_every_class, split_test
from autodepth.errors import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
# Larger sets stay files: ImageNet decoded at 224 pixels would take 190 GB.
IN_MEMORY_BYTES = 1_000_000_000

_log = logging.getLogger(__name__)


def read_folder(folder: Path, image_size: int | None, part: Part) -> tuple[Images, tuple[str, ...]]:
    """Return the images of one part and the sorted names of the class folders.

    Args:
        folder: holds train/ and test/ (or val/), each with one folder per class, or the class
            folders themselves, and then a fixed fifth of the images is the test part.
        image_size: as in `DataSettings`.
        part: which part.

    Returns:
        Images in memory if they take less than `IN_MEMORY_BYTES` decoded, else files.

    Raises:
        DataError: folders or images are missing, unreadable or do not fit each other.
    """
    train, test = _find_parts(folder)
    classes = _class_names(train)
    if test is not None and (others := _class_names(test)) != classes:
        odd = sorted(set(classes) ^ set(others))
        raise DataError(
            f"{train} and {test} must hold the same classes, but {odd[0]!r} is in one only"
        )
    root, files = train, _list_images(train, classes)
    shape = _first_shape([train / paths[0] for paths in files], image_size)
    if test is not None and part == "test":
        root, files = test, _list_images(test, classes)
    images = FileImages(
        folder=str(root),
        paths=tuple(path for paths in files for path in paths),
        labels=np.repeat(np.arange(len(classes), dtype=np.int64), [len(paths) for paths in files]),
        shape=shape,
        resize=image_size is not None,
    )
    if test is None:
        images = images.subset(split_test(images.labels, part))
        check_every_class(images.labels, classes, part)
    small = len(images) * int(np.prod(images.shape)) < IN_MEMORY_BYTES
    return images.decode_all() if small else images, classes


def _find_parts(folder: Path) -> tuple[Path, Path | None]:
    if not folder.is_dir():
        raise DataError(f"folder:PATH must name a folder, but there is none at {folder}")
    if not (folder / "train").is_dir():
        return folder, None
    for test in (folder / "test", folder / "val"):
        if test.is_dir():
            return folder / "train", test
    raise DataError(f"a folder with train/ must also have test/ or val/, but {folder} has neither")


def _class_names(root: Path) -> tuple[str, ...]:
    # Hidden names are left by tools (.ipynb_checkpoints, ._image.jpg) and never meant.
    folders = (entry for entry in root.iterdir() if entry.is_dir())
    names = tuple(sorted(entry.name for entry in folders if not entry.name.startswith(".")))
    if len(names) < 2:
        raise DataError(f"{root} must hold one folder per class, at least 2, but has {len(names)}")
    return names


def _list_images(root: Path, classes: tuple[str, ...]) -> list[list[str]]:
    """Return the images of every class, at any depth, sorted, relative to `root`."""
    found: list[list[str]] = []
    others: list[str] = []
    known = ", ".join(EXTENSIONS)
    for name in classes:
        files = [
            os.path.relpath(f"{folder}/{file}", root)
            for folder, _, files_here in os.walk(root / name)
            for file in files_here
            if not file.startswith(".")
        ]
        images = sorted(file for file in files if file.lower().endswith(EXTENSIONS))
        if not images:
            raise DataError(
                f"a class folder must hold images ({known}), but {root / name} has none"
            )
        others += set(files).difference(images)
        found.append(images)
    if others:
        message = "left out of %s: %d that are no images (%s), the first is %s"
        _log.warning(message, root, len(others), known, min(others))
    return found


def _first_shape(firsts: list[Path], image_size: int | None) -> tuple[int, int, int]:
    """Return height, width and channels, judged by the first training image of every class."""
    modes, sizes = [], []
    for path in firsts:
        try:
            with Image.open(path) as image:
                modes.append(image.mode)
                sizes.append(image.size)
        except UNREADABLE as error:
            raise DataError(f"image {path} cannot be read: {error}") from error
    width, height = (image_size, image_size) if image_size else sizes[0]
    return height, width, 1 if set(modes) <= set(GREY_MODES) else 3
