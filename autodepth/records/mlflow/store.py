"""MLflow's SQLite store, made whole or not at all.

MLflow makes the tables of a new store in some seventy steps, at the store's own path. Where it is
killed among them every later start fails (3.17: `table trace_info already exists`). So a store is
made beside its place, by one process at a time, and renamed.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from autodepth.records.driver_lock.lock import alone

SQLITE = "sqlite:///"
_MADE = 1  # in the header of a file that was made here: its `user_version`, which is nobody else's
_SOMEBODY_MAKES_IT_SECONDS = 60.0


def make_store(uri: str) -> None:
    """Make the SQLite store of a URI where there is none; what other URIs name is left alone.

    What was left half made, by `mlflow ui` say, is put aside as `NAME.half-made`: no run is in it.
    """
    path = Path(uri.removeprefix(SQLITE).partition("?")[0])
    if not uri.startswith(SQLITE) or not path.parent.is_dir() or _is_whole(path):
        return
    with alone(path.with_name(f".{path.name}.lock")):
        if _is_whole(path):  # another process was quicker
            return
        draft = path.with_name(f".{path.name}.draft")
        for left in (draft, draft.with_name(f"{draft.name}-journal")):
            left.unlink(missing_ok=True)
        _make(draft)
        if path.exists():
            path.replace(path.with_name(f"{path.name}.half-made"))
        draft.rename(path)


def _make(path: Path) -> None:
    from mlflow.db import upgrade  # noqa: PLC0415 - seconds

    assert upgrade.callback is not None
    upgrade.callback(f"{SQLITE}{path}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {_MADE}")


def _is_whole(path: Path) -> bool:
    """Whether a store is ready, or another program is at work on it."""
    if not path.exists():
        return False
    with closing(sqlite3.connect(path, timeout=0)) as connection:
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            # MLflow enters an experiment of its own when all tables are there.
            if version == _MADE or connection.execute("SELECT 1 FROM experiments").fetchone():
                return True
        except sqlite3.DatabaseError as error:
            if "no such table" not in str(error):  # locked, or no store at all: MLflow says so
                return True
    return time.time() - path.stat().st_mtime < _SOMEBODY_MAKES_IT_SECONDS
