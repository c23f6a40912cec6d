"""The error for a study's folder that cannot be written, whatever found it out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autodepth.errors import StorageError

LEDGER = "ledger.sqlite"
"""What makes a folder a study."""


def refused(folder: Path, error: Exception) -> StorageError:
    """Return what to raise where a study's folder did not take what was written to it."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    if (folder / LEDGER).exists():
        once = "the folder can be written and has room"
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            once = "the process that is in the midst of a write there has ended"
        advice = (
            f"what was entered before is whole: once {once}, `autodepth resume {folder.name}` "
            "goes on"
        )
    else:
        advice = (
            "nothing was begun: make the folder writable and make room, or set AUTODEPTH_HOME to "
            "a folder that is and has"
        )
    return StorageError(f"a study's folder must take what happens, but {folder}: {why}; {advice}")


@contextmanager
def taking(folder: Path) -> Iterator[None]:
    """Turn any OSError within a block into a `StorageError` that names the folder."""
    try:
        yield
    except OSError as error:
        raise refused(folder, error) from error
