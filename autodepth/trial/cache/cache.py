"""Stages that were carried out before, found again by their content.

An entry is whole or absent to its readers, and one that does not match its manifest counts as
absent. Nothing rests on a lock: two processes that do the same work write the same entry, and the
second finds it there. A cache never ends a trial: what it cannot take or give is done without.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from autodepth.trial.cache.entry import DamagedEntryError, Kind, Store, is_entry, seal
from autodepth.trial.cache.local import LocalStore

Value = TypeVar("Value")

LIMIT_BYTES = 4_000_000_000
# Share of the limit that is written between two listings of all entries, which take 0.14 s for 800
# of them in a folder. So much is made free where they grow too large.
_SLACK = 1 / 16
_log = logging.getLogger(__name__)


def content_key(**content: Any) -> str:
    """Return the key of a phase: a hash of everything that shapes its result, as JSON."""
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class CacheEntry:
    """One entry, as a person looks at it.

    Args:
        key: its name.
        kind: what it holds; `damaged` where that cannot be told.
        size: what it takes, in bytes.
        created: ISO 8601, UTC; empty if damaged.
        used: when it was last loaded or stored, in seconds since 1970.
    """

    key: str
    kind: str
    size: int
    created: str
    used: float


class StageCache:
    """Entries by key, the least recently used leaving when they grow too large.

    Args:
        where: a folder, or a URL that fsspec opens; None keeps nothing.
        limit_bytes: what all entries together may take; the newest always stays. Where several
            processes write, each may go a sixteenth of it beyond.

    Raises:
        InputError: fsspec does not know the URL, or lacks a package for it.
    """

    def __init__(self, where: str | Path | None, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._store = None if where is None else open_store(str(where))
        self._limit, self._warned = limit_bytes, False
        self._room = -1.0  # bytes that can be written before all entries have to be listed

    @property
    def keeps(self) -> bool:
        """Whether anything is kept at all."""
        return self._store is not None

    @property
    def location(self) -> str:
        """Where it is, without credentials; empty where nothing is kept."""
        return "" if self._store is None else self._store.location

    def kept(self, prefix: str = "") -> list[str]:
        """Return the keys of entries that begin so, sound or not; none if they cannot be told."""
        try:
            names = [] if self._store is None else self._store.names()
        except OSError as error:
            self._warn("list its entries", error)
            return []
        return [name for name in names if name.startswith(prefix)]

    def load(self, key: str, read: Callable[[Path], Value]) -> Value | None:
        """Return what `read` makes of an entry's folder, or None where there is no sound entry.

        An entry that `read` cannot make sense of (KeyError, TypeError, ValueError) is damaged.
        """
        assert is_entry(key), key
        if self._store is None:
            return None
        try:
            with self._store.opened(key) as folder:
                return read(folder)
        except FileNotFoundError:
            return None  # another process may just be writing it, or have taken it away
        except OSError as error:
            self._warn("give an entry", error)
            return None
        except (DamagedEntryError, KeyError, TypeError, ValueError) as error:
            _log.warning("stage cache %s: entry %s is damaged: %s", self.location, key, error)
            self.remove(key)
            return None

    def store(self, key: str, write: Callable[[Path], None], *, kind: Kind) -> bool:
        """Keep what `write` puts into a folder, and return whether it is kept.

        A full disk or a store that is away only mean that nothing is.
        """
        assert is_entry(key), key
        if self._store is None:
            return False

        def fill(folder: Path) -> None:
            write(folder)
            seal(folder, kind)
            self._room -= sum(path.stat().st_size for path in folder.iterdir())

        try:
            self._store.keep(key, fill)
        except OSError as error:
            self._warn("take an entry", error)
            self._room = -1.0  # the disk may be full
            return False
        finally:
            if self._room < 0:
                self._make_room(newest=key)
        return True

    def remove(self, key: str) -> None:
        """Take an entry away, if it is there."""
        try:
            if self._store is not None:
                self._store.remove(key)
        except OSError as error:
            self._warn("remove an entry", error)

    def entries(self) -> list[CacheEntry]:
        """Return all entries, the least recently used first.

        Raises:
            OSError: the store cannot be read.
        """
        usage = [] if self._store is None else self._store.usage()
        found = []
        for entry in sorted(usage, key=lambda entry: entry.used):
            kind, created = self._told_by_manifest(entry.name)
            found.append(
                CacheEntry(
                    key=entry.name,
                    kind=kind,
                    size=entry.size,
                    created=created,
                    used=entry.used,
                )
            )
        return found

    def trim(self, limit_bytes: int) -> int:
        """Take the least recently used entries away until the rest fits; return the bytes freed."""
        return self._trim(limit_bytes)[0]

    def _make_room(self, *, newest: str) -> None:
        """Trim the cache to its limit, and find how much can be written before it is full again."""
        slack = _SLACK * self._limit
        _, left = self._trim(self._limit, down_to=self._limit - slack, newest=newest)
        self._room = min(slack, self._limit - left)

    def _trim(
        self, limit: float, *, down_to: float | None = None, newest: str = ""
    ) -> tuple[int, float]:
        """Take entries away where they take more than a limit; return bytes freed and bytes left.

        Args:
            limit: what may stay.
            down_to: what is left where something goes; None is the limit.
            newest: the key of an entry that stays whatever it takes.
        """
        if self._store is None:
            return 0, 0
        freed, left = 0, math.inf
        try:
            usage = sorted(self._store.usage(), key=lambda entry: entry.used)
            left = sum(entry.size for entry in usage)
            wanted = limit if left <= limit or down_to is None else down_to
            for entry in usage:
                if left <= wanted:
                    break
                if entry.name != newest:
                    self._store.remove(entry.name)
                    freed, left = freed + entry.size, left - entry.size
        except OSError as error:
            self._warn("be trimmed", error)
        return freed, left

    def clear(self) -> int:
        """Take every entry away and what dead writers left; return the bytes freed.

        Raises:
            OSError: the store cannot be written.
        """
        if self._store is None:
            return 0
        freed = sum(entry.size for entry in self._store.usage())
        self._store.clear()
        return freed

    def _told_by_manifest(self, name: str) -> tuple[str, str]:
        assert self._store is not None
        try:
            manifest = self._store.manifest(name)
        except (FileNotFoundError, DamagedEntryError):
            return "damaged", ""
        return manifest.kind, manifest.created

    def _warn(self, what: str, error: OSError) -> None:
        """Say once what goes wrong: a full disk stays full for the next entry too."""
        level = logging.DEBUG if self._warned else logging.WARNING
        _log.log(level, "the stage cache %s could not %s: %s", self.location, what, error)
        self._warned = True


def open_store(where: str) -> Store:
    """Return the store in a folder, or behind a URL that fsspec opens.

    Raises:
        InputError: fsspec does not know the URL, or lacks a package for it.
    """
    if "://" not in where:
        return LocalStore(Path(where))
    from autodepth.trial.cache.remote import open_url  # noqa: PLC0415 - only where it is asked for

    return open_url(where)
