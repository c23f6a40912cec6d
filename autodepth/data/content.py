"""Images known by their content: a digest each, which no name and no place is part of."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from autodepth.errors import DataError

Keys: TypeAlias = npt.NDArray[np.uint64]
# A disk answers several at once; hashing itself takes 5 us of a small image's 15.
_THREADS = 8
_CHUNK = 256


@dataclass(frozen=True, eq=False, kw_only=True)
class ContentRecord:
    """Which images a study had, and which of them it set apart for the test.

    Args:
        development: keys of the images to train on and to validate by, sorted.
        test: keys of the test images, sorted.
    """

    development: Keys
    test: Keys

    def to_bytes(self) -> bytes:
        """Return the content of `images.safetensors`."""
        return save({"development": self.development, "test": self.test})

    @classmethod
    def from_bytes(cls, content: bytes) -> ContentRecord:
        """Read what `to_bytes` wrote.

        Raises:
            DataError: the content is something else.
        """
        try:
            found = load(content)
            record = cls(development=found["development"], test=found["test"])
            assert all(keys.dtype == np.uint64 and keys.ndim == 1 for keys in found.values())
        except (SafetensorError, KeyError, AssertionError, ValueError) as error:
            raise DataError(f"a record of images must hold their keys, but: {error!r}") from error
        return record


def keys_of_files(folder: str, paths: tuple[str, ...]) -> Keys:
    """Return the key of every file's bytes, uint64 [N], whatever the files are called.

    A file that cannot be read has the key of an empty one; whoever reads it says why. Among
    a million images the chance that two share a key of 64 bits by accident is 3e-8.
    """
    root = Path(folder)

    def keys(chunk: tuple[str, ...]) -> list[bytes]:
        return [_key(_content(root / path)) for path in chunk]

    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    with ThreadPoolExecutor(_THREADS) as pool:
        found = [key for chunk in pool.map(keys, chunks) for key in chunk]
    return np.frombuffer(b"".join(found), dtype="<u8").astype(np.uint64)


def keys_of_pixels(pixels: npt.NDArray[np.uint8]) -> Keys:
    """Return the key of every image held in memory, uint64 [N]."""
    found = b"".join(_key(np.ascontiguousarray(image).data) for image in pixels)
    return np.frombuffer(found, dtype="<u8").astype(np.uint64)


def places(keys: Keys, seed: int) -> npt.NDArray[np.float64]:
    """Return a place in [0, 1) for every key, even and without order, drawn by the seed."""
    salt, raw = seed.to_bytes(8, "little"), keys.astype("<u8").tobytes()
    drawn = b"".join(
        hashlib.blake2b(raw[start : start + 8], digest_size=8, key=salt).digest()
        for start in range(0, len(raw), 8)
    )
    return np.frombuffer(drawn, dtype="<u8") / 2.0**64


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _key(content: bytes | memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=8).digest()
