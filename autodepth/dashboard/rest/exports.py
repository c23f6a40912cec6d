"""Exports as they are looked at and downloaded."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from autodepth.errors import StudyError
from autodepth.service.agents.commands import checked_name

_VERIFICATION = "verification.json"
_PIECE = 2**20


def export_folders(root: Path) -> list[Path]:
    """Return the exports that are there whole, by name."""
    return sorted(path for path in root.glob("*") if _is_whole(path))


def export_folder(root: Path, name: str) -> Path:
    """Return one export.

    Raises:
        StudyError: there is none of that name.
    """
    path = root / checked_name(name)
    if not _is_whole(path):
        raise StudyError(f"no export is called {name!r}")
    return path


def verification_of(folder: Path) -> Any:
    """Return how each file of an export was verified; of several networks, by their folders."""
    if (file := folder / _VERIFICATION).is_file():
        return json.loads(file.read_bytes())
    return {path.parent.name: json.loads(path.read_bytes()) for path in _below(folder)}


def size_of(folder: Path) -> int:
    """Return the bytes of an export's files."""
    return sum(path.stat().st_size for path in _files(folder))


def archive_of(folder: Path) -> Iterator[bytes]:
    """Return a zip file of an export, piece by piece; it waits on the disk, not in memory."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for path in _files(folder):
                archive.write(path, f"{folder.name}/{path.relative_to(folder)}")
        file.seek(0)
        yield from _pieces(file)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())


def _below(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*/{_VERIFICATION}"))


def _is_whole(path: Path) -> bool:
    if path.name.startswith(".") or path.is_symlink() or not path.is_dir():
        return False
    return (path / _VERIFICATION).is_file() or bool(_below(path))
