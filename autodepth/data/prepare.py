"""How images are prepared for a network: what `auto` means, and statistics of a data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autodepth.data.images import ArrayImages, Images
from autodepth.data.settings import IMAGENET, DataSettings, Normalisation
from autodepth.errors import DataError

# Below this an eighth of the height is less than two pixels, and a shift moves whole strokes.
_SMALLEST_AUGMENTED = 16
# Mean and std of this many images stand for a set that is too large for memory.
_SAMPLED_FILES = 2_000
_CHUNK = 1_000


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is done at random to training images.

    Args:
        crop: shift by up to an eighth of the height, filled with black; for images streamed
            from files and resized, a random resized crop instead.
        flip: mirror left to right, every other image on average.
    """

    crop: bool = False
    flip: bool = False


def resolve_augment(settings: DataSettings, shape: tuple[int, int, int]) -> Augmentation:
    """Return what `settings.augment` means for images of (height, width, channels).

    `auto` is nothing for digits and for images below 16 pixels, shifts for all others, and
    mirroring for colour images, but not for svhn: digits and letters do not bear it, and grey
    sets of small images are mostly those.
    """
    if settings.augment != "auto":
        return Augmentation(crop=settings.augment != "none", flip=settings.augment != "none")
    height, width, channels = shape
    if settings.name == "digits" or min(height, width) < _SMALLEST_AUGMENTED:
        return Augmentation()
    return Augmentation(crop=True, flip=channels == 3 and settings.name != "svhn")


def resolve_normalisation(
    settings: DataSettings,
    train: Images,
    *,
    pretrained: bool,
    channels: int,
    known: Normalisation | None = None,
) -> Normalisation:
    """Return the constants that images are normalised with.

    Args:
        settings: `auto` is what the weights were trained with where that is known, `imagenet` for
            other given weights of a colour network (as most public weights), else `data`.
        train: the training split, whose statistics `data` takes.
        pretrained: whether the network starts from given weights.
        channels: what the network takes; grey statistics are repeated for each.
        known: what the given weights were trained with; None where nothing tells it.

    Raises:
        DataError: the constants are for another number of channels.
    """
    chosen = settings.normalisation
    if chosen == "auto" and known is not None:
        chosen = known
    if chosen == "auto":
        chosen = "imagenet" if pretrained and channels == 3 else "data"
    if isinstance(chosen, str):
        chosen = IMAGENET if chosen == "imagenet" else channel_statistics(train)
    chosen = chosen.filling(channels)
    if len(chosen.mean) != channels:
        raise DataError(
            f"data.normalisation must have {channels} values, one per channel the network takes, "
            f"but {settings.normalisation!r} has {len(chosen.mean)}"
        )
    return chosen


def channel_statistics(images: Images) -> Normalisation:
    """Return mean and standard deviation of each channel, on the scale where white is 1.

    Exact for images in memory; of evenly spaced images for sets streamed from files. A channel
    that is constant has a std of one grey level, so that it can be divided by.
    """
    if not isinstance(images, ArrayImages):
        count = min(len(images), _SAMPLED_FILES)
        images = images.subset(np.arange(count) * len(images) // count).decode_all()
    histograms = _histograms(images.pixels)
    levels = np.arange(256) / 255
    shares = histograms / histograms.sum(axis=1, keepdims=True)
    mean = shares @ levels
    variance = (shares * (levels - mean[:, None]) ** 2).sum(axis=1)
    std = np.maximum(np.sqrt(variance), 1 / 255)
    return Normalisation(mean=tuple(mean.tolist()), std=tuple(std.tolist()))


def _histograms(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return how often each of 256 levels occurs per channel, [C, 256]; exact, and in pieces."""
    channels = pixels.shape[3]
    counts = np.zeros((channels, 256), dtype=np.int64)
    for start in range(0, len(pixels), _CHUNK):
        for channel in range(channels):
            level = pixels[start : start + _CHUNK, :, :, channel].ravel()
            counts[channel] += np.bincount(level, minlength=256)
    return counts
