"""One call from settings to split images; the test part stays closed until it is asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from autodepth.data.content import ContentRecord, Keys
from autodepth.data.images import ArrayImages, FileImages, Images, Labels, keys_of, resize_all
from autodepth.data.reading.folders import Parts, fits_memory, held, look
from autodepth.data.reading.pack import PackedImages, packed
from autodepth.data.reading.sources import read_parts
from autodepth.data.settings import DataSettings
from autodepth.data.splits import (
    Index,
    check_every_class,
    split_off,
    split_off_share,
    with_copies,
)
from autodepth.errors import DataError
from autodepth.seeding import derive_seed


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageData:
    """A data set with its splits fixed; picklable, so that workers can be sent one.

    Args:
        settings: what it was loaded from.
        train: images to train on.
        validation: images a search may judge by; disjoint from `train`.
        classes: name of each class, by label.
        height: of every image, pixels.
        width: of every image, pixels.
        channels: 1 (grey) or 3 (colour).
        fingerprint: SHA-256 of the training part's content, its classes and how it was split;
            equal fingerprints mean equal `train` and `validation`, wherever they lie.
            Augmentation and normalisation are not part of it.
        counts: images of each class, by label, per split; the test split only of a person's own.
        record: which images these are and which are set apart for the test, by their content;
            None of sets that cannot change, and of those that earlier versions split.
        notes: what was taken for what, and what was left out, in sentences.
    """

    settings: DataSettings
    train: Images
    validation: Images
    classes: tuple[str, ...]
    height: int
    width: int
    channels: int
    fingerprint: str
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    record: ContentRecord | None = None
    notes: tuple[str, ...] = ()

    def answered(self, train: Labels, validation: Labels, classes: int) -> ImageData:
        """Return the images with answers of a network as their labels.

        Args:
            train: class number of each training image.
            validation: the same of those to validate by.
            classes: how many the network tells apart.
        """
        return replace(
            self,
            train=replace(self.train, labels=train),
            validation=replace(self.validation, labels=validation),
            classes=tuple(map(str, range(classes))),
        )

    @property
    def a_file(self) -> Path | None:
        """A file that is there wherever the images can be read; None where they are in memory."""
        if isinstance(self.train, ArrayImages):
            return None
        if isinstance(self.train, PackedImages):
            return self.train.pack
        return Path(self.train.folder, self.train.paths[0])

    @property
    def outputs(self) -> int:
        """How many scores a network gives for them."""
        return len(self.classes)

    def open_test(self) -> Images:
        """Read the test images from their source; the only way to them.

        They are not held here, so nothing a search is given can look at them: whatever is
        chosen by a number measured on them no longer has an honest one. Whoever calls this
        records that the test split was opened, and for what.

        Raises:
            DataError: the source is gone, its test images do not fit the training images, or have
                no labels.
        """
        if self.settings.unlabelled:
            raise DataError(
                f"a network is tested on labelled images, but {self.settings.name} has no labels: "
                "give some with --data folder:PATH"
            )
        parts = read_parts(self.settings)
        images = _sized(held(parts.test()), self.settings)
        if (
            images.shape != (self.height, self.width, self.channels)
            or parts.classes != self.classes
        ):
            raise DataError(
                f"test images of {self.settings.name} must be "
                f"{self.height}x{self.width}x{self.channels} of {len(self.classes)} classes as in "
                f"training, but are {'x'.join(map(str, images.shape))} of {len(parts.classes)}"
            )
        return images


def load_data(settings: DataSettings, *, trust: bool = False) -> ImageData:
    """Read the training part of a data set and split it, and look at the test part.

    The validation split is taken first, and depends on `validation` and `split_seed` alone;
    `train_images` then thins out the rest.

    Args:
        settings: which data, and how they are split.
        trust: whether to leave out the look at images that are not decoded now: test images, and
            all of a set too large for memory.

    Raises:
        DataError: the data is missing, unreadable, or too small for the splits.
    """
    parts = read_parts(settings)
    own = ":" in settings.name
    test = parts.test() if own else None
    train, validation = _split(parts, settings)
    check_every_class(validation.labels, parts.classes, "validation", parts.train)
    check_every_class(train.labels, parts.classes, "training", parts.train)
    if test is not None and not trust:
        look(test)
    if fits_memory(parts.train):
        train, validation = held(train), held(validation)
    else:
        train, validation = _packed(train, validation, settings)
        if not trust:
            for images in (train, validation):
                look(images)
    train, validation = _sized(train, settings), _sized(validation, settings)
    record = _record(parts, test) if test is not None and settings.split_rule == "content" else None
    height, width, channels = train.shape
    return ImageData(
        settings=settings,
        train=train,
        validation=validation,
        classes=parts.classes,
        height=height,
        width=width,
        channels=channels,
        fingerprint=_fingerprint(train, validation, parts.classes),
        counts={
            name: tuple(np.bincount(images.labels, minlength=len(parts.classes)).tolist())
            for name, images in (("train", train), ("validation", validation), ("test", test))
            if images is not None
        },
        record=record,
        notes=(*parts.notes, *_not_packed(train, settings), *_copies(parts, record)),
    )


def _split(parts: Parts, settings: DataSettings) -> tuple[Images, Images]:
    """Return the images to train on and those to validate by."""
    if parts.validation is None:
        validating, training = _validating(parts.train, settings)
        train, validation = parts.train.subset(training), parts.train.subset(validating)
    else:
        train, validation = parts.train, parts.validation
        size = settings.validation
        if not isinstance(size, float) and size < len(validation):
            seed = derive_seed(settings.split_seed, "validation")
            fewer, _ = split_off(validation.labels, size, seed, _keys(validation))
            validation = validation.subset(fewer)
    if settings.train_images is None:
        return train, validation
    if settings.train_images > len(train):
        raise DataError(
            f"data.train_images must be at most {len(train)}, what the validation split "
            f"leaves of {settings.name}, but got {settings.train_images}"
        )
    seed = derive_seed(settings.split_seed, "train_images")
    thinned, _ = split_off(train.labels, settings.train_images, seed, _keys(train))
    return train.subset(thinned), validation


def _validating(images: Images, settings: DataSettings) -> tuple[Index, Index]:
    """Return the positions of the images to validate by, and of the others."""
    labels, keys, size = images.labels, _keys(images), settings.validation
    seed = derive_seed(settings.split_seed, "validation")
    if keys is not None and isinstance(size, float):
        return split_off_share(labels, keys, size, seed)
    count = round(size * len(images)) if isinstance(size, float) else size
    if not 0 < count < len(images):
        raise DataError(
            f"data.validation must leave images on both sides, but {size} of the "
            f"{len(images)} images of {settings.name} is {count}"
        )
    chosen, others = split_off(labels, count, seed, keys)
    return (chosen, others) if keys is None else with_copies(keys, chosen)


def _keys(images: Images) -> Keys | None:
    return images.keys if isinstance(images, FileImages) else None


def _sized(images: Images, settings: DataSettings) -> Images:
    """Return images held in memory at the size that is wished; files are brought to it later."""
    if settings.image_size is None or not isinstance(images, ArrayImages):
        return images
    return resize_all(images, settings.image_size)


def _packed(train: Images, validation: Images, settings: DataSettings) -> tuple[Images, Images]:
    """Return images that stay files, decoded once and kept where that is wished.

    Those to validate by are kept as the network takes them, so that they are what test images are
    to the bit; training images larger, since random boxes are cut out of them.
    """
    if settings.packed_size is None or settings.image_size is None:
        return train, validation
    assert isinstance(train, FileImages)
    assert isinstance(validation, FileImages)
    folder = Path(settings.root) / "packed"
    return (
        packed(train, settings.packed_size, folder),
        packed(validation, settings.image_size, folder),
    )


def _not_packed(train: Images, settings: DataSettings) -> tuple[str, ...]:
    if settings.packed_size is None or isinstance(train, FileImages):
        return ()
    return ("the images fit into memory, where they are held decoded: data.packed_size packs none",)


def _record(parts: Parts, test: Images) -> ContentRecord:
    pieces = [images for images in (parts.train, parts.validation) if images is not None]
    development = np.concatenate([keys_of(images) for images in pieces])
    return ContentRecord(development=np.sort(development), test=np.sort(keys_of(test)))


def _copies(parts: Parts, record: ContentRecord | None) -> tuple[str, ...]:
    """Say where the source itself holds an image twice and that makes a number too good."""
    if record is None:
        return ()
    notes = []
    if twice := int(np.isin(record.test, record.development).sum()):
        notes.append(
            f"{twice:,} of {len(record.test):,} test images are among those to train on or to "
            "validate by as well: a test accuracy will be too good by them"
        )
    keys = keys_of(parts.train)
    pairs = np.unique(np.stack([keys, parts.train.labels.astype(np.uint64)]), axis=1)
    if torn := pairs.shape[1] - len(np.unique(keys)):
        notes.append(f"{torn:,} images to train on are in more than one class")
    return tuple(notes)


def _fingerprint(train: Images, validation: Images, classes: tuple[str, ...]) -> str:
    parts = (train.digest(), validation.digest(), json.dumps(classes))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
