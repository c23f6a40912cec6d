"""What an entry of the stage cache is: files under a name, and a manifest that makes it whole.

A cache may be shared, so what is read from one is data: names are checked before they become
paths, and contents against the SHA-256 in the manifest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from autodepth.atomic import sha256_of, write_atomically

Kind = Literal["parent", "scores", "fine_tuned", "partial", "weights"]

MANIFEST = "manifest.json"
_FORMAT = 2
# A content key; after a point, the epoch of training it stands at; `partial` where it goes on.
_NAME = re.compile(r"[0-9a-f]{64}(\.[0-9]{6,}(\.partial)?)?")
_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class DamagedEntryError(Exception):
    """An entry whose files are not those of its manifest."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is in an entry, written last.

    Args:
        kind: of content; `partial` is training that was not over.
        created: ISO 8601, UTC.
        size: bytes of all files but the manifest.
        files: SHA-256 by file name.
    """

    kind: str
    created: str
    size: int
    files: Mapping[str, str]

    @classmethod
    def parse(cls, text: str | bytes) -> Manifest:
        """Read a manifest.

        Raises:
            DamagedEntryError: it is none, or names what is no plain file.
        """
        try:
            values = json.loads(text)
            found = cls(
                kind=str(values["kind"] if "kind" in values else values["stage"]),
                created=str(values["created"]),
                size=int(values["size"]),
                files={str(name): str(digest) for name, digest in values["files"].items()},
            )
            known = values["format"] == _FORMAT
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DamagedEntryError(f"its manifest cannot be read: {error!r}") from error
        plain = all(_FILE.fullmatch(n) and _DIGEST.fullmatch(d) for n, d in found.files.items())
        if not (known and plain):
            raise DamagedEntryError("its manifest is of another format")
        return found

    def check(self, folder: Path) -> None:
        """Compare each file with its digest.

        Raises:
            DamagedEntryError: a file is missing or not what was written.
        """
        for name, digest in self.files.items():
            path = folder / name
            if not path.is_file() or sha256_of(path) != digest:
                raise DamagedEntryError(f"{name} is not what was written")


def seal(folder: Path, kind: Kind) -> None:
    """Write the manifest of the files in a folder.

    Raises:
        OSError: the disk is full.
    """
    files = sorted(folder.iterdir())
    manifest = Manifest(
        kind=kind,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        size=sum(path.stat().st_size for path in files),
        files={path.name: sha256_of(path) for path in files},
    )
    write_atomically(folder / MANIFEST, json.dumps({"format": _FORMAT, **asdict(manifest)}))


def is_entry(name: str) -> bool:
    """Whether a folder is the cache's own; all others beside them are left alone."""
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What an entry takes.

    Args:
        name: of the entry.
        size: bytes of all its files.
        used: when it was last loaded or stored, in seconds since 1970.
    """

    name: str
    size: int
    used: float


class Store(Protocol):
    """Where entries lie. Any method may raise OSError, whatever library is beneath."""

    location: str

    def names(self) -> list[str]:
        """Return the names of entries, damaged ones too."""

    def usage(self) -> list[Usage]:
        """Return what each entry takes."""

    def manifest(self, name: str) -> Manifest:
        """Read a manifest; FileNotFoundError where there is none, DamagedEntryError."""

    def opened(self, name: str) -> AbstractContextManager[Path]:
        """Give a folder with an entry's files, checked, and note that it was used; likewise."""

    def keep(self, name: str, fill: Callable[[Path], None]) -> None:
        """Make an entry of the files, sealed, that `fill` writes; one that is there stays."""

    def remove(self, name: str) -> None:
        """Take an entry away, if it is there."""

    def clear(self) -> None:
        """Take all entries away, and what writers that died left."""
