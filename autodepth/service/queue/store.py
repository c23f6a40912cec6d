"""The queue's SQLite file (WAL, synchronous=FULL): on the disk before anybody is told.

One server writes; whoever asks twice under one key is given what came of the first time.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from autodepth.errors import NotNowError, StorageError, StudyError
from autodepth.records.storage import taking
from autodepth.records.trial_record import utc_now
from autodepth.service.queue.work import NewWork, State, Work

QUEUE_FILE = "queue.sqlite"
_VERSION = 1
_BUSY_SECONDS = 30.0
_COLUMNS = (
    "number, owner, kind, study, arguments, state, wanted, attempt, slot, concurrency, created_at,"
    " started_at, ended_at, told, reserved, charged, spent_before, total"
)
_SCHEMA = f"""
CREATE TABLE work (
    number INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, kind TEXT NOT NULL,
    study TEXT NOT NULL, arguments TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'waiting',
    wanted TEXT NOT NULL DEFAULT 'run', attempt INTEGER NOT NULL DEFAULT 0, slot INTEGER,
    concurrency INTEGER, created_at TEXT NOT NULL, started_at TEXT, ended_at TEXT, told TEXT,
    reserved REAL NOT NULL, charged REAL NOT NULL DEFAULT 0,
    spent_before REAL NOT NULL DEFAULT 0, total TEXT);
CREATE INDEX work_by_state ON work (state);
CREATE INDEX work_of_study ON work (study);
CREATE TABLE effect (
    owner TEXT NOT NULL, key TEXT NOT NULL, asked TEXT NOT NULL, work INTEGER,
    PRIMARY KEY (owner, key)) WITHOUT ROWID;
PRAGMA user_version = {_VERSION}
"""


class QueueStore:
    """An open queue; safe to share between the threads of one process. A context manager.

    Args:
        folder: of the queue; it is made.

    Raises:
        StudyError: the file is not SQLite's, or another version of autodepth wrote it.
        StorageError: the folder is full or read-only.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.RLock()
        self.revision = 0
        """Rises with every change."""
        with taking(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / QUEUE_FILE
        try:
            self._connection = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._prepare()
        except sqlite3.OperationalError as error:
            raise StorageError(f"a queue must be written, but {self._path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StudyError(f"a queue must be a SQLite file, but {self._path}: {error}") from error

    def _prepare(self) -> None:
        with self.transaction() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
            elif version != _VERSION:
                raise StudyError(
                    f"a queue must have version {_VERSION}, but {self._path} has {version}: "
                    "update autodepth"
                )

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one write: all of it is on the disk afterwards, or none of it.

        Blocks within blocks belong to the outermost one.

        Raises:
            StorageError: the disk is full, read-only or gone.
        """
        with self._lock:
            if self._connection.in_transaction:
                yield self._connection
                return
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.commit()
                self.revision += 1
            except sqlite3.OperationalError as error:
                self._roll_back()
                raise StorageError(f"a queue must be written, but {self._path}: {error}") from error
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        with suppress(sqlite3.OperationalError):
            self._connection.rollback()

    def once(
        self, owner: str, key: str, asked: Any, act: Callable[[], Work | None]
    ) -> tuple[Work | None, bool]:
        """Do something that enters work once, however often it is asked for.

        Args:
            owner: who asks; keys of different owners have nothing to do with each other.
            key: tells one wish from another.
            asked: what is asked for, as plain values.
            act: does it, and returns the work that came of it; not called the second time.

        Returns:
            The work as it is now, None where none came of it; and whether it is new.

        Raises:
            NotNowError: the key was used for something else.
        """
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        with self.transaction() as connection:
            row = connection.execute(
                "SELECT asked, work FROM effect WHERE owner = ? AND key = ?", (owner, key)
            ).fetchone()
            if row is not None:
                if row["asked"] != digest:
                    raise NotNowError(
                        "a key is for one wish, asked as often as you like, but this one was used "
                        f"for another: {key!r}"
                    )
                return (None if row["work"] is None else self.work(row["work"])), False
            work = act()
            connection.execute(
                "INSERT INTO effect VALUES (?, ?, ?, ?)",
                (owner, key, digest, None if work is None else work.number),
            )
        return work, True

    def add(self, new: NewWork) -> Work:
        """Enter what is to be done, behind all that was entered before."""
        with self.transaction() as connection:
            number = connection.execute(
                "INSERT INTO work (owner, kind, study, arguments, created_at, reserved)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (new.owner, new.kind, new.study, json.dumps(dict(new.arguments)), utc_now(),
                 new.reserved),
            ).lastrowid  # fmt: skip
        return self.work(int(number or 0))

    def work(self, number: int) -> Work:
        """Return one piece of work.

        Raises:
            StudyError: there is none of that number.
        """
        found = self._read("WHERE number = ?", number)
        if not found:
            raise StudyError(f"the queue has no work {number}")
        return found[0]

    def works(self, *, study: str | None = None, unfinished: bool = False) -> list[Work]:
        """Return works in their order: all, or those of a study, or those that are unfinished."""
        where, values = ["1"], []
        if study is not None:
            where.append("study = ?")
            values.append(study)
        if unfinished:
            where.append("state IN ('waiting', 'running', 'paused')")
        return self._read(f"WHERE {' AND '.join(where)} ORDER BY number", *values)

    def _read(self, rest: str, *values: Any) -> list[Work]:
        with self._lock:
            rows = self._connection.execute(
                f"SELECT {_COLUMNS} FROM work {rest}",  # noqa: S608 - ours
                values,
            ).fetchall()
        return [Work(**{**dict(row), "arguments": json.loads(row["arguments"])}) for row in rows]

    def change(self, number: int, **values: Any) -> Work:
        """Change columns of one piece of work, and return it."""
        names = ", ".join(f"{name} = ?" for name in values)
        with self.transaction() as connection:
            connection.execute(
                f"UPDATE work SET {names} WHERE number = ?",  # noqa: S608 - names are fields
                (*values.values(), number),
            )
        return self.work(number)

    def end(self, work: Work, state: State, told: str | None, charged: float) -> Work:
        """End an attempt: what it took is charged once, in the same write.

        Args:
            work: as it was while the attempt ran.
            state: what becomes of it; `waiting` has it carried out again.
            told: why, in words.
            charged: device seconds that the attempt took.
        """
        over = None if state in {"waiting", "paused"} else utc_now()
        return self.change(
            work.number, state=state, told=told, slot=None, ended_at=over,
            wanted="run", charged=work.charged + charged,
        )  # fmt: skip
