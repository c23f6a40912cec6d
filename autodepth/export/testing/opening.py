"""Which images an exported network may be tested on: those its study set apart, or never saw."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from autodepth.data.content import ContentRecord, Keys
from autodepth.data.images import ArrayImages, FileImages, Images, keys_of, resize_all
from autodepth.data.load import load_data
from autodepth.data.reading.folders import held, read_held_out
from autodepth.data.reading.sources import read_parts
from autodepth.data.settings import DataSettings, without_place
from autodepth.data.splits import halve_test
from autodepth.errors import BundleError, DataError
from autodepth.export.bundles import bundle as files
from autodepth.export.bundles.origin import searched_data
from autodepth.networks.catalogue import NetworkSpec

Only: TypeAlias = Literal["new", "set-apart"]


@dataclass(frozen=True, kw_only=True)
class TestImages:
    """Images to test on.

    Args:
        data: the data set, without the path to it.
        images: in the size the network takes; labels as the data have them.
        classes: name of each class, by label.
        notes: what was taken and what was not, in sentences.
    """

    data: str
    images: Images
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def open_test_images(
    folder: Path, spec: NetworkSpec, data: str | None, only: Only | None
) -> TestImages:
    """Read the images of a data set that an exported network may be tested on.

    Without `data`, they are the test images of the search, and only if these are all there and
    are no others. A folder that is named is taken as a whole, or the split it holds out, unless
    the network was trained on images in it.

    Args:
        folder: the bundle.
        spec: the network, whose size images must have.
        data: name of the data set; None for that of the search.
        only: `new` takes images alone that the study never had; `set-apart` those alone that it
            set apart, whatever was added since.

    Raises:
        DataError: the data are gone, changed or known to the network.
    """
    settings, record = _settings(folder, data), _record(folder)
    if only is not None and record is None:
        raise DataError(
            f"--only-new and --set-apart need to know which images the study had, but {folder} "
            "does not tell: export it again from a study of a person's own images by this version"
        )
    if settings.split_rule == "position" or ":" not in settings.name:
        found = _as_split(folder, settings)
    else:
        found = _pool(settings, spec)
        found = _chosen(found, record, settings.name, only, searched=data is None)
    return replace(found, images=_fitting(found, spec))


def _settings(folder: Path, data: str | None) -> DataSettings:
    if data is None:
        found = searched_data(folder)
        kind, _, place = found.name.partition(":")
        if place and not Path(place).expanduser().exists():
            raise DataError(
                f"the images of the search must be where they were, but {found.name} is not "
                f"there: say where they are now with --data {kind}:PATH"
            )
        return found
    searched = files.recorded_data(folder)
    if searched.name == without_place(data) and searched.split_rule == "position":
        return replace(searched, name=data)  # no more is known of it than how it was split
    return DataSettings(name=data, image_size=searched.image_size)


def _record(folder: Path) -> ContentRecord | None:
    path = folder / files.IMAGES
    if not path.exists():
        return None
    try:
        return ContentRecord.from_bytes(path.read_bytes())
    except DataError as error:
        raise BundleError(f"{path}: {error}") from error


def _as_split(folder: Path, settings: DataSettings) -> TestImages:
    """Return the test part of a set that cannot change, or of one that an earlier version split."""
    loaded = load_data(settings, trust=True)
    expected = files.read_record(folder).get("data_fingerprint")
    drawn = ":" in settings.name and read_parts(settings).drawn
    if drawn and loaded.fingerprint != expected:
        raise DataError(
            f"a test figure must be of the images the study set apart, but {settings.name} changed "
            "since, and an earlier version drew them by their position: put it back as it was, or "
            "give --data folder:PATH of a folder all of whose images are test images"
        )
    return TestImages(
        data=without_place(settings.name), images=loaded.open_test(), classes=loaded.classes
    )


def _pool(settings: DataSettings, spec: NetworkSpec) -> TestImages:
    """Return all images there are to choose from."""
    kind, _, place = settings.name.partition(":")
    if kind == "folder":
        shape = (spec.height, spec.width, spec.channels)
        parts = read_held_out(
            Path(place).expanduser(), shape, resize=settings.image_size is not None
        )
    else:
        parts = read_parts(settings)
    images = parts.test()
    if kind == "folder" and settings.validation_from == "test":
        images = images.subset(halve_test(images.labels, keys_of(images))[1])
    if settings.image_size is not None and isinstance(images, ArrayImages):
        images = resize_all(images, settings.image_size)
    return TestImages(
        data=without_place(settings.name),
        images=images,
        classes=parts.classes,
        notes=parts.notes,
    )


def _chosen(
    pool: TestImages, record: ContentRecord | None, name: str, only: Only | None, *, searched: bool
) -> TestImages:
    """Return the images of a pool that may be tested on.

    Raises:
        DataError: it is not what it was, or the network knows images in it.
    """
    if record is None:
        note = (
            f"which images the network was trained on is not recorded: see that none is of {name}"
        )
        return replace(pool, notes=(*pool.notes, note))
    keys, whole = keys_of(pool.images), np.concatenate([record.development, record.test])
    if only == "new":
        return _new(pool, keys, whole, name)
    set_apart = _matching(keys, record.test)
    if only == "set-apart":
        if len(set_apart) < len(record.test):
            raise DataError(
                f"--set-apart needs all images the study set apart, but of {len(record.test):,} "
                f"{name} has {len(set_apart):,}: put the others back"
            )
        return replace(pool, images=pool.images.subset(set_apart))
    if _same(keys, record.test) or _same(keys, whole):
        return replace(pool, images=pool.images.subset(set_apart))
    known = int(np.isin(keys, record.development).sum())
    if searched or known:
        raise DataError(_changed(pool.images, keys, record, name, searched=searched))
    return pool


def _new(pool: TestImages, keys: Keys, whole: Keys, name: str) -> TestImages:
    new = np.flatnonzero(~np.isin(keys, whole))
    if not len(new):
        raise DataError(
            f"--only-new needs images that the study never had, but it had all {len(keys):,} of "
            f"{name}"
        )
    note = f"{_images(len(new))} new to the study and taken, {len(keys) - len(new):,} are left out"
    return replace(pool, images=pool.images.subset(new), notes=(*pool.notes, note))


def _changed(
    images: Images, keys: Keys, record: ContentRecord, name: str, *, searched: bool
) -> str:
    """Describe how the data differ from the study's, and what can be done."""
    seen = int(np.isin(keys, record.development).sum())
    base = np.concatenate([record.development, record.test]) if seen else record.test
    kept = _matching(keys, base)
    added = np.setdiff1d(np.arange(len(keys)), kept)
    example = ""
    if isinstance(images, FileImages) and len(added):
        example = f", such as {min(images.paths[number] for number in added)}"
    gone = len(base) - len(kept)
    told = (
        f"a test figure must be of the images the study set apart, but {name} changed since: "
        f"{_images(len(added))} added{example}, and {_images(gone)} gone"
        if searched
        else f"test images must be new to the network, but it was trained on or chosen by {seen:,} "
        f"of the {len(keys):,} of {name}"
    )
    ways = []
    if new := int((~np.isin(keys, np.concatenate([record.development, record.test]))).sum()):
        ways.append(f"--only-new takes the {new:,} that the study never had")
    if len(_matching(keys, record.test)) == len(record.test):
        ways.append(f"--set-apart takes the {len(record.test):,} that it set apart")
    ways.append("--data folder:PATH takes a folder all of whose images are test images")
    return f"{told}; {', '.join(ways)}"


def _images(count: int) -> str:
    return "1 image is" if count == 1 else f"{count:,} images are"


def _same(keys: Keys, recorded: Keys) -> bool:
    return np.array_equal(np.sort(keys), np.sort(recorded))


def _matching(keys: Keys, recorded: Keys) -> npt.NDArray[np.int64]:
    """Return the positions of recorded images, as many copies of each as were recorded."""
    left = Counter(recorded.tolist())
    found = []
    for position, key in enumerate(keys.tolist()):
        if left[key] > 0:
            left[key] -= 1
            found.append(position)
    return np.array(found, dtype=np.int64)


def _fitting(found: TestImages, spec: NetworkSpec) -> Images:
    """Return the images as the network takes them, in memory where they are not too many."""
    images = held(found.images)
    height, width, channels = images.shape
    if (height, width) != (spec.height, spec.width) or channels > spec.channels:
        raise DataError(
            f"the network takes images of {spec.height}x{spec.width} with {spec.channels} channels,"
            f" but those of {found.data} are {height}x{width} with {channels}"
        )
    return images
