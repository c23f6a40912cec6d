"""Arrays of an npz file, read only as far as what the file says of itself can be true.

An npz file is a zip archive of `.npy` members. Whoever made it may have cut it short, encrypted it,
or let a member claim more than there is; so the sizes in a member's header are compared with those
of the archive before any memory is taken, and nothing is unpickled.
"""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autodepth.errors import DataError
from autodepth.long_work import long_work

_HOW = "np.savez(FILE, x_train=..., y_train=..., x_test=..., y_test=...)"
_LONGEST_NAME = 40  # of a member, in a message
_COMPRESSIONS = {
    zipfile.ZIP_STORED: "none",
    zipfile.ZIP_DEFLATED: "deflate",
    zipfile.ZIP_BZIP2: "bzip2",
    zipfile.ZIP_LZMA: "lzma",
}
# Photographs pack to a half, drawings to a hundredth; deflate alone goes down to a thousandth.
_LARGEST_RATIO, _FROM_BYTES = 250, 1 << 26
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_LARGEST_HEADER = 10_000


class _Header(NamedTuple):
    """What a member says of its array."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]


def read_npz(path: Path, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Return arrays of an npz file by name.

    Args:
        path: the file.
        names: which arrays it must hold; others are not looked at.

    Raises:
        DataError: there is no such file, it is none of this kind, or a member of it is missing,
            there twice, encrypted, damaged, of Python objects, or not of the size it claims.
    """
    if path.is_dir():
        raise DataError(f"npz:PATH must name a file, but {path} is a folder: use folder:{path}")
    if not path.is_file():
        raise DataError(f"npz:PATH must name a file, but there is none at {path}")
    with (
        _told(f"{path} cannot be read as an npz file of plain arrays"),
        _archive(path) as archive,
        long_work(f"reading {path.name}"),
    ):
        members = _members(path, archive, names)
        for member in members.values():
            _check_size(path, archive, member)
        return {name: _array(path, archive, member) for name, member in members.items()}


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Raise what a library lets through as an error that says what could not be done."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # on bytes that are rubbish zipfile and numpy let through anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"{what}: {reason}; write it anew with {_HOW}") from error


def _archive(path: Path) -> zipfile.ZipFile:
    with path.open("rb") as file:
        start = file.read(len(np.lib.format.MAGIC_PREFIX))
    if start == np.lib.format.MAGIC_PREFIX:
        raise DataError(f"{path} is a single array (.npy); put all four into one file: {_HOW}")
    return zipfile.ZipFile(path)


def _members(
    path: Path, archive: zipfile.ZipFile, names: Sequence[str]
) -> dict[str, zipfile.ZipInfo]:
    held: dict[str, list[zipfile.ZipInfo]] = {}
    for member in archive.infolist():
        held.setdefault(member.filename.removesuffix(".npy"), []).append(member)
    if missing := [name for name in names if name not in held]:
        others = ", ".join(map(_shown, sorted(set(held) - set(names))[:5]))
        raise DataError(
            f"an npz file must hold {', '.join(names)}, but {path} has no "
            f"{' and no '.join(missing)}{f'; it has {others}' * bool(others)}"
        )
    if twice := [name for name in names if len(held[name]) > 1]:
        raise DataError(f"{path} must hold every array once, but {twice[0]} is in it twice")
    return {name: held[name][0] for name in names}


def _shown(name: str) -> str:
    """Return a name in a file as it may stand in a line: files from elsewhere have any bytes."""
    short = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."
    return short if short.isprintable() else ascii(short)


def _check_size(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Check all that can be told of an array before memory is taken for it."""
    what = f"{member.filename} of {path}"
    if member.flag_bits & 1:
        raise DataError(f"{what} must not be encrypted: write the file without a password")
    if member.compress_type not in _COMPRESSIONS:
        raise DataError(
            f"{what} must be packed by {', '.join(_COMPRESSIONS.values())}, but is by method "
            f"{member.compress_type} of zip; np.savez_compressed uses deflate"
        )
    if member.compress_size > path.stat().st_size:
        raise DataError(f"{what} claims more bytes than the file has: it was cut short or altered")
    if member.file_size > max(_FROM_BYTES, _LARGEST_RATIO * member.compress_size):
        raise DataError(
            f"{what} claims {member.file_size:,} bytes in {member.compress_size:,}, more than "
            f"images pack to; write it anew with {_HOW}"
        )
    with _told(f"{what} is no array"), archive.open(member) as content:
        header = _header(content)
        start = content.tell()
    if header.dtype.hasobject:
        raise DataError(
            f"{what} holds Python objects, which are never unpickled: save a plain array of numbers"
        )
    claimed = start + math.prod(header.shape) * header.dtype.itemsize
    if min(header.shape, default=0) < 0 or claimed != member.file_size:
        raise DataError(
            f"{what} claims an array of {header.dtype} {list(header.shape)}, which takes "
            f"{claimed:,} bytes, but has {member.file_size:,}; write it anew with {_HOW}"
        )


def _header(content: Any) -> _Header:
    version = np.lib.format.read_magic(content)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the npy format holds no plain numbers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers by Python 2, which are read all the same
        return _Header(*_HEADERS[version](content, max_header_size=_LARGEST_HEADER))


def _array(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> npt.NDArray[Any]:
    what = f"{member.filename} of {path} cannot be unpacked"
    with _told(what), warnings.catch_warnings(), archive.open(member) as content:
        warnings.simplefilter("ignore")
        array: npt.NDArray[Any] = np.lib.format.read_array(
            content, allow_pickle=False, max_header_size=_LARGEST_HEADER
        )
        content.read(1)  # the end, where the checksum is compared
        return array
