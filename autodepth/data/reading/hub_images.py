"""Images of Hugging Face's `datasets`, an extra: `pip install autodepth[hf-data]`.

A data set that `save_to_disk` wrote, parquet files, or a repository OWNER/NAME, with a column of
images and one of labels. No code of a repository is run.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from autodepth.data.images import (
    DEEP_MODES,
    GREY_MODES,
    UNREADABLE,
    ArrayImages,
    centre_box,
    keys_of,
    upright,
)
from autodepth.data.reading.folders import IN_MEMORY_BYTES, Parts
from autodepth.data.reading.layout import Role, role_of
from autodepth.data.splits import split_test_by_content
from autodepth.errors import DataError
from autodepth.long_work import each, long_work

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_SAVED = ("dataset_dict.json", "dataset_info.json")


def read_hub_images(name: str, image_size: int | None) -> Parts:
    """Read a data set into memory; where it has no test split, a fifth of it is that.

    Args:
        name: a folder or parquet file, or OWNER/NAME.
        image_size: as in `DataSettings`.

    Raises:
        DataError: it cannot be read or fetched, has no images with labels, or is too large.
    """
    splits = _by_role(name, _opened(name))
    image, label, notes = _columns(name, splits["train"].features)
    classes = _classes(splits, label)
    first = {role: _first(name, split, image) for role, split in splits.items()}
    channels = 1 if all(each.mode in GREY_MODES for each in first.values()) else 3
    width, height = (image_size, image_size) if image_size else first["train"].size
    shape = (height, width, channels)
    _check_room(name, sum(map(len, splits.values())), shape)
    resize = image_size is not None
    read = {
        role: _read(f"{name}, {role}", split, (image, label), shape, classes, resize=resize)
        for role, split in splits.items()
    }
    names = tuple(map(str, classes))
    if "test" in read:
        return Parts(
            train=read["train"],
            test=lambda: read["test"],
            classes=names,
            validation=read.get("validation"),
            notes=notes,
        )
    whole = read["train"]
    test, train = (whole.subset(i) for i in split_test_by_content(whole.labels, keys_of(whole)))
    return Parts(
        train=train,
        test=lambda: test,
        classes=names,
        validation=read.get("validation"),
        drawn=True,
        notes=notes,
    )


def _opened(name: str) -> Mapping[str, Any]:
    """Return the data sets of a name, by what they are called there."""
    try:
        datasets = importlib.import_module("datasets")
    except ModuleNotFoundError as error:
        raise DataError(
            "hf-data: needs the extra hf-data: pip install 'autodepth[hf-data]'"
        ) from error
    place = Path(name).expanduser()
    here = place.exists()
    if not here and not _REPOSITORY.fullmatch(name):
        raise DataError(
            f"hf-data: must name a folder, a parquet file or OWNER/NAME, but got {name!r}"
        )
    try:
        with long_work(f"reading {name}"):
            if here and any((place / file).is_file() for file in _SAVED):
                found = datasets.load_from_disk(str(place))
            elif place.is_file():
                found = datasets.load_dataset("parquet", data_files=str(place))
            else:
                found = datasets.load_dataset(str(place) if here else name)
    except Exception as error:  # whatever the library and what it calls come up with
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if here:
            raise DataError(f"hf-data:{name} cannot be read: {reason}") from error
        raise DataError(
            f"hf-data:{name} could not be fetched ({reason:.200}): where there is a network, "
            f"datasets.load_dataset({name!r}).save_to_disk('FOLDER') keeps it, and hf-data:FOLDER "
            "names that here"
        ) from error
    return found if isinstance(found, Mapping) else {"train": found}


def _by_role(name: str, found: Mapping[str, Any]) -> dict[Role, Any]:
    if len(found) == 1:
        return {"train": next(iter(found.values()))}
    splits: dict[Role, Any] = {}
    for key, split in found.items():
        role = role_of(key)
        if role is not None and role not in splits:
            splits[role] = split
    if "train" not in splits:
        raise DataError(
            f"of the splits of hf-data:{name} one must be called train, but they are "
            f"{', '.join(found)}"
        )
    return splits


def _columns(name: str, features: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    """Return the columns of images and of labels, and what was chosen where there are several."""
    kinds = {key: type(feature).__name__ for key, feature in features.items()}
    images = [key for key, kind in kinds.items() if kind == "Image"]
    labels = [key for key, kind in kinds.items() if kind == "ClassLabel"]
    labels = labels or [key for key in ("label", "labels") if kinds.get(key) == "Value"]
    if not images or not labels:
        lacking = "of labels (ClassLabel, or called label)" if images else "of images (Image)"
        columns = ", ".join(f"{key} ({kind})" for key, kind in kinds.items())
        raise DataError(f"hf-data:{name} has no column {lacking}; its columns are {columns}")
    chosen = "label" if "label" in labels else labels[0]
    others = [*images[1:], *(key for key in labels if key != chosen)]
    note = f"columns {images[0]} and {chosen} of {name} are taken, not {', '.join(others)}"
    return images[0], chosen, (note,) if others else ()


def _classes(splits: Mapping[Role, Any], label: str) -> Sequence[Any]:
    """Return what labels stand for, in order: their names, else the values that there are."""
    names = getattr(splits["train"].features[label], "names", None)
    if names:
        return list(names)
    return sorted(splits["train"].unique(label))


def _first(name: str, split: Any, image: str) -> Image.Image:
    if not len(split):
        raise DataError(f"hf-data:{name} has a split without images")
    return _image(name, split, 0, image)


def _image(where: str, split: Any, number: int, column: str) -> Image.Image:
    try:
        found = split[number][column]
        if isinstance(found, Image.Image) and found.mode not in DEEP_MODES:
            return upright(found)
    except UNREADABLE as error:
        raise DataError(f"image {number} of {where} cannot be read: {error}") from error
    mode = getattr(found, "mode", "none")
    raise DataError(
        f"images must have 8 bits per channel, but number {number} of {where} is of mode {mode}"
    )


def _check_room(name: str, count: int, shape: tuple[int, int, int]) -> None:
    size = count * shape[0] * shape[1] * shape[2]
    if size > IN_MEMORY_BYTES:
        raise DataError(
            f"hf-data:{name} takes {size / 1e9:.1f} GB as {count:,} images of "
            f"{shape[0]}x{shape[1]}, above {IN_MEMORY_BYTES / 1e9:g} GB: set data.image_size to a "
            "smaller one, or save the images to folders per class and name them folder:PATH"
        )


def _read(
    where: str,
    split: Any,
    columns: tuple[str, str],
    shape: tuple[int, int, int],
    classes: Sequence[Any],
    *,
    resize: bool,
) -> ArrayImages:
    """Return all images of a split, brought to a shape as `FileImages` brings them."""
    image, label = columns
    height, width, channels = shape
    pixels = np.empty((len(split), *shape), dtype=np.uint8)
    for number in each(range(len(split)), f"decoding {where}", len(split)):
        found = _image(where, split, number, image)
        if not resize and found.size != (width, height):
            raise DataError(
                f"images must have one size, but number {number} of {where} has "
                f"{found.width}x{found.height} pixels and the first image {width}x{height}; set "
                "data.image_size to bring all to one"
            )
        plain = found.convert("L" if channels == 1 else "RGB")
        if resize:
            box = centre_box(plain.size)
            plain = plain.resize((width, height), Image.Resampling.BILINEAR, box)
        pixels[number] = np.asarray(plain, dtype=np.uint8).reshape(shape)
    return ArrayImages(pixels, _labels(where, split, label, classes))


def _labels(where: str, split: Any, label: str, classes: Sequence[Any]) -> Any:
    told = list(split[label])
    if getattr(split.features[label], "names", None):
        known = {number: number for number in range(len(classes))}
    else:
        known = {value: number for number, value in enumerate(classes)}
    for number, value in enumerate(told):
        if value not in known:
            raise DataError(
                f"every image must have a label of the {len(classes)} classes, but number {number} "
                f"of {where} has {value!r}"
            )
    return np.array([known[value] for value in told], dtype=np.int64)
