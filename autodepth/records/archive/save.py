"""A study as one file: a .tar.gz of plain files whose manifest comes first.

NAME/manifest.json       format, study, and name, size and SHA-256 of every file that follows
NAME/ledger.sqlite       the ledger as it was at one moment, also of a study that runs
NAME/space.yaml          the space as it was searched
NAME/images.safetensors  which images of a person's own it has, by their content
NAME/front.html          the front's page, where the folder has one
NAME/trials/N/FILE       what the trials that had ended kept, the weights of the front among them

Left out: locks and wishes, which belong to a process; the stage cache, which serves a running study
only; what a tracking store was told, which is true where it was told only.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from autodepth.atomic import sha256_of
from autodepth.errors import StudyError
from autodepth.records.ledger import Ledger
from autodepth.records.studies import IMAGES, StudyFolder

FORMAT = "autodepth-study-1"
MANIFEST, LEDGER, SPACE, PAGE = "manifest.json", "ledger.sqlite", "space.yaml", "front.html"
TRIAL_FILE = re.compile(r"trials/(0|[1-9][0-9]{0,8})/[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_ATTEMPTS = 3  # a member of the front may lose its place, and its weights, while we copy
_COMPRESSION = 6


@dataclass(frozen=True, kw_only=True)
class ArchivedFile:
    """One line of the manifest.

    Args:
        name: inside the study's folder, parts joined by `/`.
        size: bytes.
        sha256: of the content, in hexadecimal.
    """

    name: str
    size: int
    sha256: str


def save_study(folder: StudyFolder, to: Path) -> tuple[ArchivedFile, ...]:
    """Write a study to one file, also while it runs.

    Equal studies give equal files: the order is fixed, and nothing tells when or by whom.

    Args:
        folder: the study.
        to: the file to write; must not exist.

    Returns:
        What is in it, in its order.

    Raises:
        StudyError: `to` exists, or the study has no readable ledger.
    """
    if to.exists():
        raise StudyError(f"the file to save a study to must not exist, but {to} does")
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{to.name}.", dir=to.parent) as scratch:
        draft = Path(scratch) / "study"
        _copy_consistently(folder, draft)
        files = _files(draft)
        archive = Path(scratch) / "archive"
        with archive.open("wb") as raw:
            _write(raw, folder.name, draft, files)
            raw.flush()
            os.fsync(raw.fileno())
        archive.replace(to)
    return files


def _copy_consistently(folder: StudyFolder, draft: Path) -> None:
    """Copy a study; again if its front changed meanwhile and weights were deleted."""
    for _ in range(_ATTEMPTS):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        _copy_ledger(folder, draft / LEDGER)
        for name in (SPACE, IMAGES, PAGE):
            _copy(folder.path / name, draft / name)
        lost = _copy_trials(folder, draft)
        with Ledger.open(folder.ledger_path, read_only=True) as ledger:
            members = {member.trial for member in ledger.front()}
        if lost <= members:  # what is lost for good cannot be had by copying again
            return


def _copy_ledger(folder: StudyFolder, to: Path) -> None:
    with (
        Ledger.open(folder.ledger_path, read_only=True) as ledger,
        closing(sqlite3.connect(to)) as copy,
    ):
        ledger.database.copy_to(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        copy.execute("DELETE FROM tracking")
        copy.commit()


def _copy_trials(folder: StudyFolder, draft: Path) -> set[int]:
    """Copy what ended trials kept; return the members of the front whose weights are gone."""
    with Ledger.open(draft / LEDGER, read_only=True) as ledger:
        ended = [record for record in ledger.trials() if record.state.ended]
        members = {member.trial for member in ledger.front()}
    lost = set()
    for record in ended:
        for path in sorted(folder.trial_folder(record.number).glob("*")):
            _copy(path, draft / path.relative_to(folder.path))
        weights = record.result and record.result.weights_file
        kept = draft / "trials" / str(record.number) / (weights or "")
        if record.number in members and weights and not kept.is_file():
            lost.add(record.number)
    return lost


def _copy(source: Path, to: Path) -> None:
    """Copy a file if it is there, plain, and of a name that may be in an archive."""
    if to.name in {SPACE, IMAGES, PAGE} or TRIAL_FILE.fullmatch("/".join(to.parts[-3:])):
        try:
            if source.is_file() and not source.is_symlink():
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, to)
        except FileNotFoundError:  # deleted meanwhile
            return


def _files(draft: Path) -> tuple[ArchivedFile, ...]:
    def place(path: Path) -> tuple[int, int, str]:
        parts = path.relative_to(draft).parts
        heads = (LEDGER, SPACE, IMAGES, PAGE, "trials")
        return heads.index(parts[0]), int(parts[1]) if len(parts) > 1 else -1, path.name

    return tuple(
        ArchivedFile(
            name=path.relative_to(draft).as_posix(),
            size=path.stat().st_size,
            sha256=sha256_of(path),
        )
        for path in sorted((p for p in draft.rglob("*") if p.is_file()), key=place)
    )


def _write(raw: BinaryIO, study: str, draft: Path, files: tuple[ArchivedFile, ...]) -> None:
    manifest = {"format": FORMAT, "study": study, "files": [asdict(file) for file in files]}
    content = json.dumps(manifest, indent=1).encode()
    with (
        gzip.GzipFile("", "wb", _COMPRESSION, raw, mtime=0) as packed,
        tarfile.TarFile(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        archive.addfile(_header(f"{study}/{MANIFEST}", len(content)), io.BytesIO(content))
        for file in files:
            with (draft / file.name).open("rb") as source:
                archive.addfile(_header(f"{study}/{file.name}", file.size), source)


def _header(name: str, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size = size
    return header
