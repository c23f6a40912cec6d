"""Unpacking a study from one file. The file may come from anybody, so nothing in it is believed.

It is read from front to back, member after member, and each has to be exactly what the manifest
announces next: its name, a plain file, its size, its SHA-256. Whatever else a tar file may hold,
links, devices, long headers, ends the reading before any of it is acted on. The ledger must have
our tables and nothing else, and everything in it must be readable. Nothing in the file is executed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from autodepth.errors import StudyError
from autodepth.records.archive.save import (
    FORMAT,
    LEDGER,
    MANIFEST,
    PAGE,
    SPACE,
    TRIAL_FILE,
    ArchivedFile,
)
from autodepth.records.ledger import Ledger
from autodepth.records.ledger.database import SCHEMA
from autodepth.records.studies import IMAGES, StudyFolder, create_study_folder
from autodepth.units import format_bytes

_LONGEST_MANIFEST = 2**24  # bytes; a hundred thousand trials
_PIECE = 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}")


def load_study(file: Path, name: str | None = None) -> StudyFolder:
    """Unpack a study that `save_study` wrote; it is there whole, or not at all.

    The front's page is left out: a page runs scripts, and a ledger gives the same page anew.

    Args:
        file: the archive.
        name: what the study is to be called here; None for its own name.

    Raises:
        StudyError: the file is missing, damaged, altered or too large for the disk, or the name is
            taken.
    """
    if not file.is_file():
        raise StudyError(f"a study is loaded from a file that `autodepth save` wrote, not {file}")
    with file.open("rb") as raw, _told_of(file), gzip.GzipFile(fileobj=raw) as packed:
        study, files = _read_manifest(packed)
        folder = create_study_folder(study if name is None else name)
        try:
            _unpack(packed, study, files, folder)
        except BaseException:
            with suppress(OSError):
                folder.path.rmdir()  # it is empty until all is known to be well
            raise
    return folder


@contextmanager
def _told_of(file: Path) -> Iterator[None]:
    """Turn the errors that libraries raise on a damaged file into one message."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError) as error:
        raise StudyError(f"{_rule(file)}: {error}") from error
    except _DamageError as error:
        raise StudyError(f"{_rule(file)}: {error}") from error.__cause__


class _DamageError(Exception):
    """What is wrong with an archive, in words."""


def _rule(file: Path) -> str:
    return f"a saved study must be whole and as it was written, but {file} is not"


def _unpack(
    packed: gzip.GzipFile, study: str, files: tuple[ArchivedFile, ...], folder: StudyFolder
) -> None:
    root, total = folder.path.parent, sum(file.size for file in files)
    free = shutil.disk_usage(root).free
    if total > free:
        raise StudyError(
            f"a study of {format_bytes(total)} must fit on the disk, but {root} has "
            f"{format_bytes(free)} left"
        )
    with tempfile.TemporaryDirectory(prefix=".load-", dir=root) as scratch:
        draft = Path(scratch) / folder.name
        draft.mkdir()
        for file in files:
            _check_header(packed, f"{study}/{file.name}", file.size)
            _copy(packed, file, None if file.name == PAGE else draft / file.name)
        _check_end(packed)
        _check_ledger(draft / LEDGER, study, folder.name)
        draft.rename(folder.path)  # onto the empty folder that holds the name


def _read_manifest(packed: gzip.GzipFile) -> tuple[str, tuple[ArchivedFile, ...]]:
    header = _read_header(packed)
    study, _, rest = header.name.partition("/")
    if rest != MANIFEST or not header.size <= _LONGEST_MANIFEST:
        raise _DamageError(
            f"it must begin with a short {MANIFEST}, but begins with {header.name!r}"
        )
    content = _read(packed, _padded(header.size))[: header.size]
    try:
        values = json.loads(content)
        files = tuple(ArchivedFile(**file) for file in values["files"])
        known = values["format"], values["study"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _DamageError(f"its {MANIFEST} cannot be read ({error})") from error
    if known != (FORMAT, study):
        raise _DamageError(f"it must be of {study!r} in the format {FORMAT}, but is of {known}")
    for file in files:
        _check_announced(file)
    names = [file.name for file in files]
    if LEDGER not in names or len(set(names)) != len(names):
        raise _DamageError(f"it must hold one {LEDGER} and nothing twice")
    return study, files


def _check_announced(file: ArchivedFile) -> None:
    named = isinstance(file.name, str) and (
        file.name in {LEDGER, SPACE, IMAGES, PAGE} or TRIAL_FILE.fullmatch(file.name)
    )
    if not named:
        raise _DamageError(f"it announces a file that no study has: {file.name!r}")
    if type(file.size) is not int or file.size < 0:
        raise _DamageError(f"it announces {file.name} with a size of {file.size!r}")
    if not (isinstance(file.sha256, str) and _SHA256.fullmatch(file.sha256)):
        raise _DamageError(f"it announces {file.name} without a SHA-256")


def _check_header(packed: gzip.GzipFile, name: str, size: int) -> None:
    header = _read_header(packed)
    if (header.name, header.size) != (name, size):
        raise _DamageError(
            f"{name} of {size:,} bytes must come next, but {header.name!r} of {header.size:,} does"
        )


def _read_header(packed: gzip.GzipFile) -> tarfile.TarInfo:
    """Read one header. Not by `TarFile`: that follows links and reads headers of any length."""
    block = _read(packed, tarfile.BLOCKSIZE)
    header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    if header.type != tarfile.REGTYPE or header.size < 0:
        raise _DamageError(f"it must hold plain files only, but {header.name!r} is none")
    return header


def _copy(packed: gzip.GzipFile, file: ArchivedFile, to: Path | None) -> None:
    """Copy the content that comes next, and check it; to nowhere if `to` is None."""
    digest, left = hashlib.sha256(), file.size
    if to is not None:
        to.parent.mkdir(parents=True, exist_ok=True)
    with (to or Path("/dev/null")).open("wb") as target:
        while left:
            piece = _read(packed, min(left, _PIECE))
            digest.update(piece)
            target.write(piece)
            left -= len(piece)
    _read(packed, _padded(file.size) - file.size)
    if digest.hexdigest() != file.sha256:
        raise _DamageError(f"{file.name} was altered")


def _check_end(packed: gzip.GzipFile) -> None:
    """Read on to the end, which also compares the checksum of the compressed file."""
    rest = packed.read(2 * tarfile.RECORDSIZE)
    if any(rest) or packed.read(1):
        raise _DamageError("it goes on after its last file")


def _read(packed: gzip.GzipFile, count: int) -> bytes:
    content = packed.read(count)
    if len(content) < count:
        raise _DamageError("it ends early")
    return content


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _check_ledger(path: Path, study: str, name: str) -> None:
    """Check that a ledger is one of ours and readable, then give it the name it has here."""
    Ledger.open(path, read_only=True).close()  # tells another version
    try:
        _check_tables(path)
        with Ledger.open(path, read_only=True) as ledger:
            _check_content(ledger, study)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE study SET name = ?", (name,))
            connection.commit()
    except _DamageError:
        raise
    except Exception as error:  # whatever it makes our reading raise, the file is to blame
        told = f"{type(error).__name__}: {error}"
        raise _DamageError(f"its ledger cannot be read ({told})") from error


def _check_tables(path: Path) -> None:
    """Refuse a ledger with tables, triggers or views that are not ours, before any can act."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok" or _tables(connection) != _our_tables():
            raise _DamageError("its ledger does not have the tables of a ledger")


def _check_content(ledger: Ledger, study: str) -> None:
    """Read everything once, and refuse what would lead outside the study's folder."""
    records = ledger.trials()
    if ledger.study.name != study or [r.number for r in records] != list(range(len(records))):
        raise _DamageError(f"its ledger is not that of {study}, or has gaps")
    for record in records:
        ledger.epochs(record.number)
        weights = None if record.result is None else record.result.weights_file
        if weights is not None and not TRIAL_FILE.fullmatch(f"trials/{record.number}/{weights}"):
            raise _DamageError(
                f"trial {record.number} names weights outside its folder: {weights!r}"
            )
    ledger.front()
    ledger.endings()
    ledger.spending()


def _tables(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    """Return all tables and indices, and views and triggers if there are any, as they were made."""
    return set(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


def _our_tables() -> set[tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        return _tables(connection)
