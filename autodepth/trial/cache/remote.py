"""Entries of the stage cache behind fsspec: S3, GCS, Azure, SFTP and what else it reaches.

Such stores have no rename and no time of last use that a reader may set. So the manifest is
written last and makes the entry; files are named after their content, so that two writers of one
entry never change each other's; and the time of use is in the name of an empty file.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from autodepth.errors import InputError
from autodepth.trial.cache.entry import MANIFEST, DamagedEntryError, Manifest, Usage, is_entry
from autodepth.trial.cache.local import LocalStore

_USED = "used."
_CREDENTIALS = re.compile(r"(?<=//)[^/@]*@")


def open_url(url: str) -> LocalStore | RemoteStore:
    """Return the store that a URL names; `file://` is a folder of this machine.

    Raises:
        InputError: fsspec does not know the URL, or lacks a package for it.
    """
    shown = _CREDENTIALS.sub("...@", url)
    try:
        files, path = fsspec.core.url_to_fs(url)
    except Exception as error:
        raise InputError(
            f"a cache must be a folder or a URL that fsspec opens, but got {shown}: {error}"
        ) from error
    if isinstance(files, LocalFileSystem):
        return LocalStore(Path(path))
    return RemoteStore(files, path, location=shown)


class RemoteStore:
    """Each entry some files under one prefix.

    Args:
        files: a filesystem of fsspec.
        root: prefix of all entries.
        location: what people are told where it is.
    """

    def __init__(self, files: Any, root: str, *, location: str) -> None:
        self._files, self._root, self.location = files, root.rstrip("/"), location

    def names(self) -> list[str]:
        """Return the names of entries, damaged ones too."""
        with _os_errors():
            self._files.invalidate_cache()  # others write there too
            try:
                paths = self._files.ls(self._root, detail=False)
            except FileNotFoundError:
                return []
        return sorted(filter(is_entry, (path.rstrip("/").rpartition("/")[2] for path in paths)))

    def usage(self) -> list[Usage]:
        """Return what each entry takes."""
        if not self.names():  # where a store is away, `find` would find nothing and say nothing
            return []
        with _os_errors():
            found = self._files.find(self._root, detail=True)
        sizes: dict[str, int] = defaultdict(int)
        used: dict[str, float] = defaultdict(float)
        for path, info in found.items():
            name, _, file = path[len(self._root) :].strip("/").partition("/")
            if is_entry(name):
                sizes[name] += info.get("size") or 0
                used[name] = max(used[name], _time_of_use(file))
        return [Usage(name=name, size=sizes[name], used=used[name]) for name in sorted(sizes)]

    def manifest(self, name: str) -> Manifest:
        """Read an entry's manifest."""
        with _os_errors():
            text = self._files.cat_file(self._path(name, MANIFEST))
        return Manifest.parse(text)

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        """Download an entry and check it."""
        manifest = self.manifest(name)
        with tempfile.TemporaryDirectory(prefix="autodepth-") as place:
            folder = Path(place)
            with _os_errors():
                for file, digest in manifest.files.items():
                    try:
                        self._files.get_file(self._path(name, digest), str(folder / file))
                    except FileNotFoundError as error:
                        raise DamagedEntryError(f"{file} is missing") from error
            manifest.check(folder)
            with contextlib.suppress(OSError):  # a cache that may only be read
                self._mark(name)
            yield folder

    def keep(self, name: str, fill: Callable[[Path], None]) -> None:
        """Upload an entry, its manifest last."""
        with tempfile.TemporaryDirectory(prefix="autodepth-") as place:
            folder = Path(place)
            fill(folder)
            sealed = folder / MANIFEST
            with _os_errors():
                self._files.invalidate_cache()
                if self._files.exists(self._path(name, MANIFEST)):
                    return
                self._files.makedirs(self._path(name), exist_ok=True)
            self._mark(name)  # first, or an entry on its way would look unused
            with _os_errors():
                for file, digest in Manifest.parse(sealed.read_bytes()).files.items():
                    self._files.put_file(str(folder / file), self._path(name, digest))
                self._files.pipe_file(self._path(name, MANIFEST), sealed.read_bytes())

    def remove(self, name: str) -> None:
        """Take an entry away, its manifest first."""
        with _os_errors(), contextlib.suppress(FileNotFoundError):
            with contextlib.suppress(FileNotFoundError):
                self._files.rm_file(self._path(name, MANIFEST))
            self._files.rm(self._path(name), recursive=True)

    def clear(self) -> None:
        """Take all entries away, those without a manifest too."""
        for name in self.names():
            self.remove(name)

    def _path(self, *parts: str) -> str:
        return "/".join((self._root, *parts))

    def _mark(self, name: str) -> None:
        now = f"{_USED}{time.time_ns() // 1_000_000}"
        with _os_errors():
            self._files.pipe_file(self._path(name, now), b"")
            self._files.invalidate_cache()
            for path in self._files.ls(self._path(name), detail=False):
                if 0 < _time_of_use(path.rpartition("/")[2]) < _time_of_use(now):
                    with contextlib.suppress(FileNotFoundError):
                        self._files.rm_file(path)


def _time_of_use(file: str) -> float:
    """Return what the name of a file tells of the last use, in seconds since 1970, else 0."""
    milliseconds = file.removeprefix(_USED)
    return int(milliseconds) / 1000 if file != milliseconds and milliseconds.isdecimal() else 0.0


@contextlib.contextmanager
def _os_errors() -> Iterator[None]:
    """Let whatever a store's library raises be an OSError."""
    try:
        yield
    except (OSError, DamagedEntryError):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
