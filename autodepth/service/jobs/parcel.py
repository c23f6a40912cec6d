"""Pack what a job needs: the files of a folder that a study may read, and autodepth itself."""

from __future__ import annotations

import fnmatch
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autodepth.errors import InputError
from autodepth.space.file.shipped import space_folder
from autodepth.units import format_bytes

LIMIT_BYTES = 100_000_000
FILES = "sent-files"  # no name of a module: Ray lets nodes import what lies beside it
# Besides what is hidden: what tools and autodepth itself write, and nobody searches with.
LEFT_OUT = (
    "__pycache__", "autodepth-studies", "exports", "mlruns", "mlartifacts", "node_modules",
    "venv", "site-packages", "*.egg-info",
)  # fmt: skip
_PACKAGE = Path(__file__).parents[2]
_LARGEST = 3  # files named when it is too much


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """A folder ready to be sent.

    Args:
        folder: where it is.
        files: files of the person's folder in it.
        size: what those take, in bytes.
    """

    folder: Path
    files: int
    size: int


def pack_parcel(source: Path, target: Path, exclude: Sequence[str] = ()) -> Parcel:
    """Copy what a job needs from a folder into `FILES`, and autodepth beside that.

    Nodes then run the autodepth that submits, whichever they have installed.

    Args:
        source: a person's folder: space file, network code, weights, small data.
        target: an empty folder.
        exclude: patterns of paths below `source`, or of names, that stay here.

    Raises:
        InputError: it is more than is sent; the largest files are named.
    """
    found = sorted(_files(source, exclude))
    sizes = {path: path.stat().st_size for path in found}
    total = sum(sizes.values())
    if total > LIMIT_BYTES:
        largest = sorted(found, key=lambda path: -sizes[path])[:_LARGEST]
        told = ", ".join(
            f"{path.relative_to(source)} ({format_bytes(sizes[path])})" for path in largest
        )
        raise InputError(
            f"the working directory must be at most {format_bytes(LIMIT_BYTES)} to be sent, but "
            f"{source} has {format_bytes(total)}, the largest: {told}; leave out what nodes find "
            "elsewhere with --exclude PATTERN"
        )
    (target / FILES).mkdir()
    for path in found:
        place = target / FILES / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    _add_autodepth(target)
    return Parcel(folder=target, files=len(found), size=total)


def _files(source: Path, exclude: Sequence[str]) -> Iterator[Path]:
    for root, folders, files in os.walk(source):
        here = Path(root)
        folders[:] = [name for name in folders if not _stays(here / name, source, exclude)]
        for name in files:
            path = here / name
            if path.is_file() and not _stays(path, source, exclude):
                yield path


def _stays(path: Path, source: Path, exclude: Sequence[str]) -> bool:
    place = str(path.relative_to(source))
    return path.name.startswith(".") or any(
        fnmatch.fnmatch(path.name, pattern) or fnmatch.fnmatch(place, pattern)
        for pattern in (*LEFT_OUT, *exclude)
    )


def _add_autodepth(target: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    package = target / _PACKAGE.name
    shutil.rmtree(package, ignore_errors=True)  # of a checkout: the same files
    shutil.copytree(_PACKAGE, package, ignore=ignore)
    if not (package / "search_spaces").is_dir():
        shutil.copytree(space_folder(), package / "search_spaces", ignore=ignore)
