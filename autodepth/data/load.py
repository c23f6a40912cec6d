"""One call from settings to split images; the test part stays closed until it is asked for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from autodepth.data.images import ArrayImages, Images, resize_all
from autodepth.data.settings import DataSettings
from autodepth.data.sources import read_part
from autodepth.data.splits import Part, check_every_class, split_off
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
            equal fingerprints mean equal `train` and `validation`. Augmentation and
            normalisation are not part of it.
    """

    settings: DataSettings
    train: Images
    validation: Images
    classes: tuple[str, ...]
    height: int
    width: int
    channels: int
    fingerprint: str

    def open_test(self) -> Images:
        """Read the test images from their source; the only way to them.

        They are not held here, so nothing a search is given can look at them: whatever is
        chosen by a number measured on them no longer has an honest one. Whoever calls this
        records that the test split was opened, and for what.

        Raises:
            DataError: the source is gone, or its test images do not fit the training images.
        """
        images, classes = _read(self.settings, "test")
        if images.shape != (self.height, self.width, self.channels) or classes != self.classes:
            raise DataError(
                f"test images of {self.settings.name} must be "
                f"{self.height}x{self.width}x{self.channels} of {len(self.classes)} classes as in "
                f"training, but are {'x'.join(map(str, images.shape))} of {len(classes)}"
            )
        return images


def load_data(settings: DataSettings) -> ImageData:
    """Read the training part of a data set and split it.

    The validation split is taken first, classes in proportion, and depends on `validation` and
    `split_seed` alone; `train_images` then thins out the rest.

    Raises:
        DataError: the data is missing, unreadable, or too small for the splits.
    """
    images, classes = _read(settings, "train")
    seed = settings.split_seed
    validating, training = split_off(
        images.labels, _validation_count(settings, len(images)), derive_seed(seed, "validation")
    )
    if settings.train_images is not None:
        if settings.train_images > len(training):
            raise DataError(
                f"data.train_images must be at most {len(training)}, what the validation split "
                f"leaves of {settings.name}, but got {settings.train_images}"
            )
        thinned, _ = split_off(
            images.labels[training], settings.train_images, derive_seed(seed, "train_images")
        )
        training = training[thinned]
    train, validation = images.subset(training), images.subset(validating)
    check_every_class(validation.labels, classes, "validation")
    check_every_class(train.labels, classes, "training")
    height, width, channels = images.shape
    return ImageData(
        settings=settings,
        train=train,
        validation=validation,
        classes=classes,
        height=height,
        width=width,
        channels=channels,
        fingerprint=_fingerprint(train, validation, classes),
    )


def _read(settings: DataSettings, part: Part) -> tuple[Images, tuple[str, ...]]:
    images, classes = read_part(settings, part)
    if settings.image_size is not None and isinstance(images, ArrayImages):
        images = resize_all(images, settings.image_size)
    return images, classes


def _validation_count(settings: DataSettings, available: int) -> int:
    count = settings.validation
    if isinstance(count, float):
        count = round(count * available)
    if not 0 < count < available:
        raise DataError(
            f"data.validation must leave images on both sides, but {settings.validation} of the "
            f"{available} images of {settings.name} is {count}"
        )
    return count


def _fingerprint(train: Images, validation: Images, classes: tuple[str, ...]) -> str:
    parts = (train.digest(), validation.digest(), json.dumps(classes))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
