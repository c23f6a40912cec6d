"""Stages that were carried out before, found again by their content.

An entry is a folder of plain files under a key, written under a name of its own and renamed when
it is whole, so that a reader finds all of it or nothing; its manifest holds the SHA-256 of each
file. Nothing rests on a lock: two processes that do the same work write the same entry, and the
second finds it there. An entry that does not match its manifest counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from autodepth.atomic import sha256_of, write_atomically

Value = TypeVar("Value")

_MANIFEST = "manifest.json"
_DRAFT = ".draft-"
LIMIT_BYTES = 4_000_000_000


def content_key(**content: Any) -> str:
    """Return the key of a stage: a hash of everything that shapes its result, as JSON."""
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class StageCache:
    """Entries by key in one folder, the least recently used leaving when it grows too large.

    Args:
        root: the folder, created when the first entry is written; None keeps nothing.
        limit_bytes: what all entries together may take; the newest always stays.
    """

    def __init__(self, root: Path | None, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._root, self._limit = root, limit_bytes

    def load(self, key: str, read: Callable[[Path], Value]) -> Value | None:
        """Return what `read` makes of an entry's folder, or None where there is no sound entry."""
        entry = None if self._root is None else self._root / key
        if entry is None or not entry.is_dir():
            return None
        try:
            if _is_sound(entry):
                os.utime(entry)
                return read(entry)
        except OSError:
            pass  # taken away by another process between two of these lines
        shutil.rmtree(entry, ignore_errors=True)
        return None

    def store(self, key: str, write: Callable[[Path], None]) -> None:
        """Keep what `write` puts into a folder; a full disk only means that nothing is kept."""
        if self._root is None:
            return
        draft = self._root / f"{_DRAFT}{uuid.uuid4().hex}"
        try:
            draft.mkdir(parents=True)
            write(draft)
            manifest = {path.name: sha256_of(path) for path in draft.iterdir()}
            write_atomically(draft / _MANIFEST, json.dumps(manifest))
            draft.rename(self._root / key)  # refused where another has been quicker
        except OSError:
            pass
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        self._trim(newest=key)

    def _trim(self, *, newest: str) -> None:
        assert self._root is not None
        entries = [path for path in self._root.glob("*") if not path.name.startswith(_DRAFT)]
        try:
            sizes = {path: sum(f.stat().st_size for f in path.iterdir()) for path in entries}
            oldest = sorted(entries, key=lambda path: path.stat().st_mtime)
        except OSError:
            return  # another process is trimming
        total = sum(sizes.values())
        for path in oldest:
            if total <= self._limit:
                break
            if path.name != newest:
                shutil.rmtree(path, ignore_errors=True)
                total -= sizes[path]


def _is_sound(entry: Path) -> bool:
    try:
        manifest = dict(json.loads((entry / _MANIFEST).read_text()))
    except (ValueError, TypeError):
        return False
    return all(sha256_of(entry / name) == digest for name, digest in manifest.items())
