"""Labelled images: held in memory, or as files that are decoded when they are needed.

Shapes: N images, B batch, H height, W width, C channels (1 grey, 3 colour). Pixels are uint8.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from autodepth.data.content import Keys, keys_of_files, keys_of_pixels
from autodepth.errors import DataError
from autodepth.long_work import each

Pixels: TypeAlias = npt.NDArray[np.uint8]
Labels: TypeAlias = npt.NDArray[np.int64]
Box: TypeAlias = tuple[float, float, float, float]
Draws: TypeAlias = Sequence[float]

# What earlier versions listed, and what is listed now.
FORMER_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
EXTENSIONS = (*FORMER_EXTENSIONS, ".gif", ".tif", ".tiff", ".jfif", ".ppm", ".pgm")
# What PIL raises on files that are not images, are cut short, or are made to exhaust memory.
UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError,
    AttributeError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
GREY_MODES = ("1", "L", "LA", "La")
_FAULTS_TOLD = 5


@dataclass(frozen=True, eq=False)
class ArrayImages:
    """Images held in memory.

    Args:
        pixels: uint8 [N, H, W, C]; may be read-only, it is never written to.
        labels: int64 [N], class numbers from 0.

    Raises:
        DataError: types or shapes are others.
    """

    pixels: Pixels
    labels: Labels

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or len(shape) != 4 or shape[3] not in (1, 3):
            raise DataError(
                "images must be uint8 [N, H, W, C] with C = 1 or 3, "
                f"but got {self.pixels.dtype} {list(shape)}"
            )
        if self.labels.dtype != np.int64 or self.labels.shape != shape[:1]:
            raise DataError(
                f"labels must be int64 [{shape[0]}], one per image, "
                f"but got {self.labels.dtype} {list(self.labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        _, height, width, channels = self.pixels.shape
        return height, width, channels

    def subset(self, index: npt.NDArray[np.int64]) -> ArrayImages:
        """Return a copy of the images at `index`, in its order."""
        return ArrayImages(self.pixels[index], self.labels[index])

    def digest(self) -> str:
        """Return the SHA-256 of shape, pixels and labels."""
        content = hashlib.sha256(repr(self.pixels.shape).encode())
        content.update(np.ascontiguousarray(self.pixels).data)
        content.update(np.ascontiguousarray(self.labels).data)
        return content.hexdigest()


@dataclass(frozen=True, eq=False, kw_only=True)
class FileImages:
    """Images in files, decoded each time they are read: for sets too large for memory.

    Args:
        folder: where the paths start.
        paths: one file per image, relative to `folder`.
        labels: int64 [N], class numbers from 0.
        shape: height, width and channels every image is brought to.
        resize: whether images are resized and cut to `shape`; if not, they must have it.
        keys: uint64 [N], the key of each file's content; None where files are known by name.
    """

    folder: str
    paths: tuple[str, ...]
    labels: Labels
    shape: tuple[int, int, int]
    resize: bool
    keys: Keys | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, index: npt.NDArray[np.int64]) -> FileImages:
        """Return the images at `index`, in its order."""
        return replace(
            self,
            paths=tuple(self.paths[i] for i in index),
            labels=self.labels[index],
            keys=None if self.keys is None else self.keys[index],
        )

    def digest(self) -> str:
        """Return the SHA-256 of shape, labels and keys; without keys, of names and file sizes."""
        content = hashlib.sha256(repr((self.shape, self.resize)).encode())
        content.update(np.ascontiguousarray(self.labels).data)
        if self.keys is not None:
            content.update(np.ascontiguousarray(self.keys).data)
            return content.hexdigest()
        for path in self.paths:
            size = (Path(self.folder) / path).stat().st_size
            content.update(f"{path}\0{size}\0".encode("utf-8", "surrogateescape"))
        return content.hexdigest()

    def decode(self, number: int, draws: Draws | None = None) -> Pixels:
        """Return image `number` (from 0), uint8 [H, W, C].

        Args:
            number: position of the image.
            draws: four numbers in [0, 1) that choose a random resized crop; None keeps the
                largest centred square. Images that are not resized are returned as they are.

        Raises:
            DataError: the file is unreadable, or is not what the first images are.
        """
        height, width, _ = self.shape
        plain = self.opened(number)
        if self.resize:
            box = random_box(plain.size, draws) if draws else centre_box(plain.size)
            plain = plain.resize((width, height), Image.Resampling.BILINEAR, box)
        return np.asarray(plain, dtype=np.uint8).reshape(self.shape)

    def opened(self, number: int) -> Image.Image:
        """Return an image in its own size, upright; raises as of `decode`."""
        path = Path(self.folder) / self.paths[number]
        try:
            with Image.open(path) as image:
                upright = self._upright(image)
                _check_kind(path, upright, self.shape, resize=self.resize)
                return upright.convert("RGB" if self.shape[2] == 3 else "L")
        except DataError:
            raise
        except UNREADABLE as error:
            raise DataError(f"image {path} cannot be read: {_cause(error)}") from error

    def decode_all(self) -> ArrayImages:
        """Return all images held in memory, decoded in parallel threads.

        Raises:
            DataError: some cannot be read, or are not what the first images are; tells how many.
        """
        pixels = np.empty((len(self), *self.shape), dtype=np.uint8)

        def keep(number: int) -> None:
            pixels[number] = self.decode(number)

        self.try_all(keep, "decoding images")
        return ArrayImages(pixels, self.labels)

    def look_at_all(self) -> None:
        """Read the header of every image, and see that its file goes on to the end.

        Raises:
            DataError: as of `decode_all`.
        """
        self.try_all(self.look_at, "looking at images")

    def look_at(self, number: int) -> None:
        """Do so for one of them."""
        path = Path(self.folder) / self.paths[number]
        try:
            content = path.read_bytes()
            with Image.open(io.BytesIO(content)) as image:
                _check_kind(path, self._upright(image), self.shape, resize=self.resize)
                _check_whole(image, content)
        except DataError:
            raise
        except UNREADABLE as error:
            raise DataError(f"image {path} cannot be read: {_cause(error)}") from error

    def try_all(self, work: Callable[[int], None], what: str) -> None:
        """Do something with every image's number, in parallel threads.

        Raises:
            DataError: it was raised for some; tells how many.
        """

        def fault(number: int) -> str | None:
            try:
                work(number)
            except DataError as error:
                return str(error)
            return None

        with ThreadPoolExecutor(decoding_threads()) as pool:
            found = pool.map(fault, range(len(self)))
            faults = [text for text in each(found, what, len(self)) if text is not None]
        _raise_together(sorted(faults), len(self), self.folder)

    def _upright(self, image: Image.Image) -> Image.Image:
        # Earlier versions, which knew files by name, left images lying.
        return image if self.keys is None else upright(image)


Images: TypeAlias = ArrayImages | FileImages


def keys_of(images: Images) -> Keys:
    """Return the key of every image's content, uint64 [N]: of its file, or of its pixels."""
    if isinstance(images, ArrayImages):
        return keys_of_pixels(images.pixels)
    return keys_of_files(images.folder, images.paths) if images.keys is None else images.keys


def upright(image: Image.Image) -> Image.Image:
    """Return an image as its camera was held: the turn stands beside the pixels of a JPEG."""
    if image.format not in {"JPEG", "MPO"}:
        return image
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    except UNREADABLE:  # the pixels may be well nevertheless
        return image
    return ImageOps.exif_transpose(image) if turned else image


def decoding_threads() -> int:
    """Return how many threads decode: PIL releases the interpreter while it works."""
    return min(16, os.cpu_count() or 1)


def resize_all(images: ArrayImages, size: int) -> ArrayImages:
    """Return the images brought to `size` x `size` pixels as `FileImages` are."""
    height, width, channels = images.shape
    if height == width == size:
        return images
    box = centre_box((width, height))
    pixels = np.empty((len(images), size, size, channels), dtype=np.uint8)
    for number, image in enumerate(each(images.pixels, "resizing images", len(images))):
        whole = Image.fromarray(image[:, :, 0] if channels == 1 else image)
        small = whole.resize((size, size), Image.Resampling.BILINEAR, box)
        pixels[number] = np.asarray(small).reshape(size, size, channels)
    return ArrayImages(pixels, images.labels)


def centre_box(size: tuple[int, int]) -> Box:
    """Return left, top, right, bottom of the largest centred square of a (width, height)."""
    width, height = size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def random_box(size: tuple[int, int], draws: Draws) -> Box:
    """Return a box of 8 to 100 % of the area and aspect ratio 3/4 to 4/3, at any place.

    Args:
        size: width and height, pixels.
        draws: numbers in [0, 1) for area, aspect ratio, and place across and down.

    Source: Szegedy et al. 2015 (arXiv 1409.4842, section 6).
    """
    width, height = size
    area = width * height * (0.08 + 0.92 * draws[0])
    ratio = (3 / 4) ** (1 - 2 * draws[1])
    across = min(float(width), math.sqrt(area * ratio))
    down = min(float(height), math.sqrt(area / ratio))
    left, top = draws[2] * (width - across), draws[3] * (height - down)
    return left, top, left + across, top + down


def _check_kind(
    path: Path, image: Image.Image, shape: tuple[int, int, int], *, resize: bool
) -> None:
    height, width, channels = shape
    if image.mode in DEEP_MODES:
        raise DataError(
            f"images must have 8 bits per channel, but {path} is of mode {image.mode}: scale its "
            "values to 0..255 and save it anew"
        )
    if channels == 1 and image.mode not in GREY_MODES:
        raise DataError(
            f"{path} is in colour, but the first image of every class is grey; "
            "convert the colour images to grey, or the first image to colour"
        )
    if not resize and image.size != (width, height):
        raise DataError(
            f"images must have one size, but {path} has {image.width}x{image.height} pixels and "
            f"the first image {width}x{height}; set data.image_size (for example "
            f"data.image_size={min(width, height)}) to bring all to one"
        )


def _cause(error: Exception) -> str:
    unknown = isinstance(error, UnidentifiedImageError)  # its text names a buffer
    return "it is empty, cut short, or no image" if unknown else str(error)


def _check_whole(image: Image.Image, content: bytes) -> None:
    """Raise what PIL does unless a file goes on to the end; cheap for the usual kinds of files."""
    if image.format == "PNG":
        image.verify()  # a checksum of every piece
    elif image.format != "JPEG" or not content.rstrip(b"\0").endswith(b"\xff\xd9"):
        image.load()


def _raise_together(faults: Sequence[str], images: int, folder: str) -> None:
    """Raise one DataError for all images that cannot be used."""
    if not faults:
        return
    if len(faults) == 1:
        raise DataError(faults[0])
    told = "".join(f"\n  {fault}" for fault in faults[:_FAULTS_TOLD])
    more = f"\n  ... and {len(faults) - _FAULTS_TOLD:,} more" * (len(faults) > _FAULTS_TOLD)
    raise DataError(
        f"every image must be usable, but {len(faults):,} of {images:,} of {folder} are not:"
        f"{told}{more}\nmend them, or take them out of the folder"
    )
