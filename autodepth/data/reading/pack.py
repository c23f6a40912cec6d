"""Images decoded once and kept in one file, for passes that would decode them again and again.

The file is named for what it was made of, whatever the images' files are called and wherever they
lie. It holds rows of a checksum and an image, as NumPy writes them.

Shapes: M images in the file, N of them chosen, S height and width, C channels; uint8.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image

from autodepth.atomic import rename_durably
from autodepth.data.images import FileImages, Pixels
from autodepth.errors import DataError
from autodepth.units import format_bytes

_LAYOUT = 1
"""Another number where other bytes are written."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PackedImages(FileImages):
    """Images read from a file that is mapped into memory, in place of their own files.

    Args:
        pack: as `packed` made it.
        size: S.
        rows: int64 [N], which of the M images.
    """

    pack: Path
    size: int
    rows: npt.NDArray[np.int64]

    def subset(self, index: npt.NDArray[np.int64]) -> PackedImages:
        """Return the images at `index`, in its order."""
        return replace(self, **_fields(super().subset(index)), rows=self.rows[index])

    def digest(self) -> str:
        """Return the SHA-256 of what the files have and S, since boxes are cut out of squares."""
        return hashlib.sha256(f"{super().digest()} packed {self.size}".encode()).hexdigest()

    def opened(self, number: int) -> Image.Image:
        """Return the square that an image is kept as.

        Raises:
            DataError: the file is gone, or is none.
        """
        pixels = self._pixels(number)
        return Image.fromarray(pixels[:, :, 0] if self.shape[2] == 1 else pixels)

    def look_at(self, number: int) -> None:
        """Compare an image with its checksum.

        Raises:
            DataError: it is another, or the file is gone, or is none.
        """
        told = _mapped(self.pack)["checksum"][self.rows[number]]
        if zlib.crc32(self._pixels(number).data) != told:
            raise _unlike_itself(self.pack)

    def _pixels(self, number: int) -> Pixels:
        found: Pixels = _mapped(self.pack)["pixels"][self.rows[number]]
        return found


def packed(images: FileImages, size: int, folder: Path) -> PackedImages:
    """Return the same images, decoded, cut to squares and kept in a file; made once.

    Args:
        images: known by their content, and resized.
        size: height and width to keep them in, pixels; at least that of `images`.
        folder: where packed images are kept.

    Raises:
        DataError: images cannot be read, or the folder is read-only or full.
    """
    assert images.keys is not None, "images without keys cannot be told from others"
    kept = replace(images, shape=(size, size, images.shape[2]))
    content = hashlib.blake2b(repr((_LAYOUT, kept.shape, PIL.__version__)).encode(), digest_size=8)
    content.update(images.keys.astype("<u8").tobytes())
    file = folder.absolute() / f"{content.hexdigest()}.npy"
    try:
        if not file.exists():
            _make(file, kept)
    except OSError as error:
        room = format_bytes(len(kept) * _row(kept).itemsize)
        raise DataError(
            f"data.packed_size needs {room} in {file.parent}, but: {error.strerror}"
        ) from error
    return PackedImages(**_fields(images), pack=file, size=size, rows=np.arange(len(images)))


def _fields(images: FileImages) -> dict[str, Any]:
    """Return what makes the images known by their own files."""
    return {each.name: getattr(images, each.name) for each in fields(FileImages)}


def _make(file: Path, images: FileImages) -> None:
    """Decode images into a file that has its name once it is whole.

    Its room on the disk is taken first. Who comes second waits and finds it made; what a killed
    process left is written over.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part, row = file.with_suffix(".part"), _row(images)
    with _alone(file.with_suffix(".lock")), part.open("wb") as opened:
        if file.exists():
            part.unlink()
            return
        header = {"descr": np.lib.format.dtype_to_descr(row), "fortran_order": False}
        np.lib.format.write_array_header_2_0(opened, {**header, "shape": (len(images),)})
        opened.flush()
        begin, handle = opened.tell(), opened.fileno()
        try:
            os.posix_fallocate(handle, begin, len(images) * row.itemsize)

            def keep(number: int) -> None:
                pixels = images.decode(number)
                filled = np.array((zlib.crc32(pixels.data), pixels), dtype=row)
                os.pwrite(handle, filled.tobytes(), begin + number * row.itemsize)

            images.try_all(keep, "packing images")
            os.fsync(handle)
        except BaseException:
            part.unlink()
            raise
        rename_durably(part, file)


def _row(images: FileImages) -> np.dtype[np.void]:
    return np.dtype([("checksum", "<u4"), ("pixels", "u1", images.shape)])


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other process is in here; a killed one is not."""
    with lock.open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


@lru_cache(maxsize=8)
def _mapped(file: Path) -> npt.NDArray[np.void]:
    try:
        found: npt.NDArray[np.void] = np.load(file, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise _unlike_itself(file) from error
    return found


def _unlike_itself(file: Path) -> DataError:
    return DataError(
        f"packed images must be as they were written, but {file} is gone or damaged: delete it, "
        "and it is made again"
    )
