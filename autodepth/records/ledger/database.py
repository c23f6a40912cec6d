"""The SQLite file under the ledger: its tables, and how one write is kept whole."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from autodepth.atomic import rename_durably
from autodepth.errors import StorageError, StudyError, StudyInUseError
from autodepth.records.storage import refused
from autodepth.records.trial_record import BROKEN_OFF

Mode = Literal["create", "write", "read"]
VERSION = 8
_RESERVATION = (
    "reservation (id INTEGER PRIMARY KEY AUTOINCREMENT, devices REAL NOT NULL CHECK (devices > 0),"
    " spent REAL NOT NULL)"
)
_LOST = " OR ".join(f"reason LIKE '{reason}%'" for reason in BROKEN_OFF)
_WAITING = "waiting (trial INTEGER PRIMARY KEY REFERENCES trial)"
_NOTICE = (
    "notice (number INTEGER PRIMARY KEY AUTOINCREMENT, place TEXT NOT NULL, key TEXT NOT NULL,"
    " noted_at TEXT NOT NULL, state TEXT NOT NULL, content TEXT NOT NULL, UNIQUE (place, key))"
)
# By the version they lead from. What is only read is read as it is.
_MIGRATIONS = {
    2: (
        "ALTER TABLE study ADD COLUMN token INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE trial ADD COLUMN node TEXT",
    ),
    3: ("ALTER TABLE epoch ADD COLUMN sensitivities TEXT NOT NULL DEFAULT '{}'",),
    4: (
        f"CREATE TABLE {_RESERVATION}",
        # Of earlier parts it was not kept on how many devices they ran: on as many as planned.
        "INSERT INTO reservation (devices, spent) SELECT"
        " COALESCE(json_extract(plan, '$.devices'), 1), 0 FROM study",
    ),
    5: (
        f"CREATE TABLE {_WAITING}",
        # Trials of the search that were broken off, and whose policy no later trial took up.
        "INSERT INTO waiting SELECT number FROM trial AS lost WHERE about IS NULL"  # noqa: S608
        f" AND (state = 'cancelled' OR (state = 'failed' AND ({_LOST})))"
        " AND NOT EXISTS (SELECT 1 FROM trial AS later WHERE later.number > lost.number"
        " AND later.kind = lost.kind AND later.policy = lost.policy)",
    ),
    6: (
        "ALTER TABLE epoch ADD COLUMN metrics TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE epoch ADD COLUMN unit TEXT NOT NULL DEFAULT '%'",
    ),
    7: (f"CREATE TABLE {_NOTICE}",),
}
BUSY_SECONDS = 30.0
_NO_LOG = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
)
# Epoch columns may be NULL, since that is what SQLite makes of the NaN a diverging trial reports.
SCHEMA = f"""
CREATE TABLE study (
    id INTEGER PRIMARY KEY CHECK (id = 0), name TEXT NOT NULL, seed INTEGER NOT NULL,
    objectives TEXT NOT NULL, plan TEXT NOT NULL,
    created_at TEXT NOT NULL, ended_at TEXT, outcome TEXT, token INTEGER NOT NULL);
CREATE TABLE trial (
    number INTEGER PRIMARY KEY, state TEXT NOT NULL, kind TEXT NOT NULL,
    point TEXT NOT NULL, policy TEXT NOT NULL, reason TEXT,
    about INTEGER REFERENCES trial, role TEXT NOT NULL, replicate INTEGER NOT NULL,
    started_at TEXT NOT NULL, ended_at TEXT, spent REAL, candidate TEXT, result TEXT, node TEXT);
CREATE INDEX trial_by_state ON trial (state);
CREATE INDEX trial_on_front ON trial (number) WHERE candidate IS NOT NULL;
CREATE TABLE epoch (
    trial INTEGER NOT NULL REFERENCES trial, step INTEGER NOT NULL, stage TEXT NOT NULL,
    train_loss REAL, train_accuracy REAL, validation_accuracy REAL, branches_expected REAL,
    branches_computed REAL, gradient_norms TEXT NOT NULL, images_per_second REAL,
    macs REAL, replayed INTEGER NOT NULL, seconds REAL, sensitivities TEXT NOT NULL,
    metrics TEXT NOT NULL, unit TEXT NOT NULL,
    PRIMARY KEY (trial, step)) WITHOUT ROWID;
CREATE TABLE spending (
    id INTEGER PRIMARY KEY AUTOINCREMENT, trial INTEGER REFERENCES trial, stage TEXT NOT NULL,
    device_seconds REAL NOT NULL CHECK (device_seconds >= 0));
CREATE TABLE verdict (
    trial INTEGER NOT NULL REFERENCES trial, rung TEXT NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (trial, rung)) WITHOUT ROWID;
CREATE TABLE {_RESERVATION};
CREATE TABLE {_WAITING};
CREATE TABLE {_NOTICE};
CREATE INDEX spending_of_trial ON spending (trial);
CREATE TABLE tracking (
    store TEXT NOT NULL, trial INTEGER NOT NULL, run_id TEXT NOT NULL, epochs_sent INTEGER NOT NULL,
    state_sent TEXT, on_front INTEGER, PRIMARY KEY (store, trial)) WITHOUT ROWID;
PRAGMA user_version = {VERSION}
"""


class Database:
    """One connection, shared by the threads of a process under one lock.

    Args:
        path: the file.
        mode: `create` a new file (see `new_database`), `write` to an existing one, or only `read`
            it, which a read-only or full file system allows too.

    Raises:
        StudyError: the file is missing, is no SQLite file, or holds tables of another version.
        StorageError: it is to be written, and the file system is full or read-only.
    """

    def __init__(self, path: Path, mode: Mode) -> None:
        self.path = path
        self.token: int | None = None
        """Of the driver that writes through this connection, see `take_over`; None of others."""
        self._lock = threading.RLock()
        if mode != "create" and not path.exists():
            raise StudyError(f"a study keeps its ledger at {path}, but there is no such file")
        with _unusable_is_told(path, mode):
            self._connection = _connect_to_read(path) if mode == "read" else _connect(path, "rwc")
            try:
                self._prepare(mode)
            except BaseException:
                self.close()
                raise

    def _prepare(self, mode: Mode) -> None:
        if mode != "read":
            self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        version = self.version
        while mode == "write" and version in _MIGRATIONS:
            version = self._migrate()
        if mode != "create" and version != VERSION and version not in _MIGRATIONS:
            newer = "a newer autodepth wrote it; update this one"
            hint = newer if version > VERSION else "an older autodepth wrote it"
            if version == 0:
                hint = "its study never finished starting"
            raise StudyError(
                f"a ledger must have version {VERSION}, but {self.path} has {version}: {hint}"
            )

    def _migrate(self) -> int:
        """Bring the tables one version on; return the version that they have then."""
        with self.transaction() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version in _MIGRATIONS:  # nobody else did meanwhile
                for statement in _MIGRATIONS[version]:
                    connection.execute(statement)
                version += 1
                connection.execute(f"PRAGMA user_version = {version}")
        return int(version)

    @property
    def version(self) -> int:
        """Version of the tables in the file."""
        return int(self.query("PRAGMA user_version")[0][0])

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self._lock:
            self._connection.close()

    def take_over(self) -> int:
        """Begin to drive: the tokens of all earlier drivers are worth nothing from now on."""
        with self.transaction() as connection:
            connection.execute("UPDATE study SET token = token + 1")
            (token,) = connection.execute("SELECT token FROM study").fetchone()
        self.token = int(token)
        return self.token

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one write: all of it is on the disk afterwards, or none of it.

        Raises:
            StorageError: the disk is full, read-only or gone, or another process holds the file.
            StudyInUseError: this was a driver, and another one has taken its study over.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._check_there()
                self._check_token()
                yield self._connection
                self._connection.commit()
            except sqlite3.OperationalError as error:
                self._roll_back()
                raise refused(self.path.parent, error) from error
            except BaseException:
                self._roll_back()
                raise

    def _check_there(self) -> None:
        """Raise if the file was deleted or replaced: an open file outlives its name."""
        if not self.path.exists():
            raise StorageError(
                f"a study's folder must stay where it is, but {self.path.parent} is gone: put it "
                f"back, and `autodepth resume {self.path.parent.name}` goes on"
            )

    def _check_token(self) -> None:
        if self.token is None:
            return
        (token,) = self._connection.execute("SELECT token FROM study").fetchone()
        if token != self.token:
            raise StudyInUseError(
                f"a study has one driver at a time, but another one took {self.path.parent.name} "
                "over from this one, which enters nothing any more"
            )

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.OperationalError):  # a full disk may have done it already
            self._connection.rollback()

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """Run a block as one snapshot: all its queries see the file as the first one does."""
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.rollback()

    def query(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        """Run one reading statement."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def copy_to(self, other: sqlite3.Connection) -> None:
        """Copy the file as it is now into another one."""
        with self._lock:
            self._connection.backup(other)


@contextmanager
def new_database(path: Path) -> Iterator[Database]:
    """Enter a new database that lies at a path once the block has ended well.

    Until then it has a hidden name there, which begins as `hidden_name` says: a process that dies
    meanwhile leaves no ledger without tables behind.

    Args:
        path: of a file that is not there; nobody else may make it meanwhile.

    Raises:
        StudyError: it is there.
        StorageError: the file system is full or read-only.
    """
    hidden = path.with_name(hidden_name(path.name))
    if path.exists():
        raise StudyError(f"a study keeps its ledger at {path}, but there is one already")
    for left in path.parent.glob(f"{hidden.name}*"):  # with its log, of one that died
        left.unlink()
    database = Database(hidden, "create")
    try:
        yield database
    finally:
        database.close()
    rename_durably(hidden, path)


def hidden_name(name: str) -> str:
    """Return how the name of a database begins until it has its tables."""
    return f".{name}.new"


def _connect(path: Path, how: str) -> sqlite3.Connection:
    """Open a file; `how` as SQLite's URIs say it after `mode=`."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={how}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.row_factory = sqlite3.Row
    return connection


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a file to read it, where no log can be made beside it too.

    Readers make the log that goes with WAL where there is none. A file system that takes none takes
    no entries either, so without a log the file itself is all there is, and does not change.
    """
    connection = _connect(path, "ro")
    try:
        connection.execute("PRAGMA user_version")
    except sqlite3.DatabaseError as error:
        connection.close()
        log = path.with_name(f"{path.name}-wal")
        empty = not log.exists() or not log.stat().st_size
        if error.sqlite_errorcode & 0xFF not in _NO_LOG or not empty:
            raise
        return _connect(path, "ro&immutable=1")
    return connection


@contextmanager
def _unusable_is_told(path: Path, mode: Mode) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if mode != "read" and isinstance(error, sqlite3.OperationalError):
            raise refused(path.parent, error) from error
        raise StudyError(f"a ledger must be a SQLite file, but {path}: {error}") from error
