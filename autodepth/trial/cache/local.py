"""Entries of the stage cache in a folder of this machine, or one that machines share."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from autodepth.trial.cache.entry import MANIFEST, DamagedEntryError, Manifest, Usage, is_entry

_DRAFT = ".draft-"
# No writer takes so long; one that died is not heard of any more.
_DEAD_AFTER_SECONDS = 86_400.0


class LocalStore:
    """Each entry a folder, written under a name of its own and renamed when it is whole.

    Its time of change is that of its last use.

    Args:
        root: the folder, created when the first entry is written.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self.location = str(self._root)

    def names(self) -> list[str]:
        """Return the names of entries, damaged ones too."""
        try:
            return sorted(path.name for path in self._root.iterdir() if is_entry(path.name))
        except FileNotFoundError:
            return []

    def usage(self) -> list[Usage]:
        """Return what each entry takes; drafts of writers that died are taken away."""
        self._sweep(older_than=_DEAD_AFTER_SECONDS)
        found = []
        for name in self.names():
            entry = self._root / name
            with contextlib.suppress(FileNotFoundError):  # taken away by another process
                size = sum(path.stat().st_size for path in entry.iterdir())
                found.append(Usage(name=name, size=size, used=entry.stat().st_mtime))
        return found

    def manifest(self, name: str) -> Manifest:
        """Read an entry's manifest."""
        entry = self._root / name
        try:
            return Manifest.parse((entry / MANIFEST).read_bytes())
        except FileNotFoundError as error:
            if entry.is_dir():
                raise DamagedEntryError("it has no manifest") from error
            raise

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        """Give an entry's folder, checked."""
        entry = self._root / name
        self.manifest(name).check(entry)
        with contextlib.suppress(OSError):  # a cache that may only be read
            os.utime(entry)
        yield entry

    def keep(self, name: str, fill: Callable[[Path], None]) -> None:
        """Make an entry; refused where another process has been quicker."""
        target, draft = self._root / name, self._root / f"{_DRAFT}{uuid.uuid4().hex}"
        try:
            draft.mkdir(parents=True)
            fill(draft)
            draft.rename(target)
        except OSError:
            if not (target / MANIFEST).is_file():
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def remove(self, name: str) -> None:
        """Take an entry away, at once for those who look for it."""
        gone = self._root / f"{_DRAFT}{uuid.uuid4().hex}"
        with contextlib.suppress(FileNotFoundError):
            (self._root / name).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def clear(self) -> None:
        """Take all entries and drafts away."""
        for name in self.names():
            self.remove(name)
        self._sweep(older_than=0.0)

    def _sweep(self, *, older_than: float) -> None:
        """Take drafts away that were not touched for so many seconds."""
        for draft in self._root.glob(f"{_DRAFT}*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - draft.stat().st_mtime >= older_than:
                    shutil.rmtree(draft, ignore_errors=True)
