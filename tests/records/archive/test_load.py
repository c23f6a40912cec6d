"""What an archive brings is checked before it becomes a study."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records.archive.test_save import content, files

from autodepth.errors import StudyError
from autodepth.records.archive.load import load_study
from autodepth.records.archive.save import save_study
from autodepth.records.studies import StudyFolder, list_studies, studies_root

TRIALS = ((0.9, 40_000_000, 4.0), (0.8, 10_000_000, 3.0), (None, 0, 1.0), (0.7, 20_000_000, 2.0))
Make = Callable[..., StudyFolder]


@pytest.fixture
def folder(make_recorded: Make) -> StudyFolder:
    return make_recorded("digits", TRIALS)


@pytest.fixture
def archive(folder: StudyFolder, tmp_path: Path) -> Path:
    save_study(folder, tmp_path / "digits.tar.gz")
    return tmp_path / "digits.tar.gz"


def members(archive: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(archive) as read:
        return [(m.name, read.extractfile(m).read()) for m in read]  # type: ignore[union-attr]


def pack(to: Path, parts: list[tuple[str | tarfile.TarInfo, bytes]]) -> Path:
    """Write members as they are given, whatever they say."""
    with gzip.open(to, "wb") as packed, tarfile.TarFile(fileobj=packed, mode="w") as out:
        for name, data in parts:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return to


def repack(archive: Path, change: Callable[[str, bytes], bytes], **manifest: Any) -> Path:
    """Change contents and make the manifest fit them again, as an attacker would."""
    parts = [(name, change(name, data)) for name, data in members(archive)[1:]]
    values = {
        "format": "autodepth-study-1",
        "study": "digits",
        "files": [
            {
                "name": name.removeprefix("digits/"),
                "size": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            for name, data in parts
        ],
    }
    head = json.dumps(values | manifest).encode()
    return pack(archive.with_name("changed.tar.gz"), [("digits/manifest.json", head), *parts])


def change_ledger(archive: Path, statement: str) -> Path:
    def change(name: str, data: bytes) -> bytes:
        if not name.endswith("ledger.sqlite"):
            return data
        path = archive.with_name("attack.sqlite")
        path.write_bytes(data)
        with sqlite3.connect(path) as connection:
            connection.executescript(statement)
        connection.close()
        return path.read_bytes()

    return repack(archive, change)


def refused(archive: Path, message: str) -> None:
    before = sorted(studies_root().rglob("*"))
    with pytest.raises(StudyError, match=message):
        load_study(archive, "other")
    assert sorted(studies_root().rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["digits/../../evil", "/tmp/evil", "digits//trials/1/x", "digits/trials/1/../../x",
             "digits/ledger.sqlite-wal", "digits/trials/01/x", "digits/trials/1/.x", "digits/x.py"]
)  # fmt: skip
def test_no_other_name_is_unpacked(archive: Path, tmp_path: Path, name: str) -> None:
    head, *parts = members(archive)
    refused(pack(tmp_path / "more.tar.gz", [head, *parts, (name, b"x")]), "goes on after its last")
    entry = {
        "name": name.removeprefix("digits/"),
        "size": 1,
        "sha256": hashlib.sha256(b"x").hexdigest(),
    }
    manifest = json.loads(head[1])
    manifest["files"].append(entry)
    announced = [("digits/manifest.json", json.dumps(manifest).encode()), *parts, (name, b"x")]
    refused(pack(tmp_path / "told.tar.gz", announced), "a file that no study has")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("kind", [
    tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE,
    tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.GNUTYPE_SPARSE,
])  # fmt: skip
@pytest.mark.parametrize("place", [0, 1, 2])
def test_only_plain_files_are_unpacked(
    archive: Path, tmp_path: Path, kind: bytes, place: int
) -> None:
    parts: list[Any] = members(archive)
    info = tarfile.TarInfo(parts[place][0])
    info.type, info.linkname = kind, "/etc/passwd"
    parts.insert(place, (info, b""))
    refused(pack(tmp_path / "kinds.tar.gz", parts), "plain files only")


def test_every_altered_byte_is_noticed(archive: Path, tmp_path: Path) -> None:
    for place in range(1, len(members(archive))):
        parts = members(archive)
        name, data = parts[place]
        parts[place] = (name, data[:-1] + bytes([data[-1] ^ 1]))
        refused(pack(tmp_path / f"{place}.tar.gz", parts), f"{Path(name).name} was altered")


def test_sizes_are_those_of_the_manifest(archive: Path, tmp_path: Path) -> None:
    parts = members(archive)
    parts[1] = (parts[1][0], parts[1][1] + b"\0" * 10_000_000)
    refused(pack(tmp_path / "longer.tar.gz", parts), "ledger.sqlite of .* bytes must come next")
    refused(pack(tmp_path / "less.tar.gz", parts[:1] + parts[2:]), "must come next")
    refused(pack(tmp_path / "twice.tar.gz", [*parts[:1], *parts]), "must come next")


def test_a_bomb_is_refused_before_it_goes_off(archive: Path, tmp_path: Path) -> None:
    manifest = json.loads(members(archive)[0][1])
    manifest["files"][0]["size"] = 10**15
    head = ("digits/manifest.json", json.dumps(manifest).encode())
    refused(pack(tmp_path / "large.tar.gz", [head]), "of 1000000.0 GB must fit on the disk")
    rest = gzip.compress(b"\0" * 50_000_000)
    with (tmp_path / "tail.tar.gz").open("wb") as file:
        file.write(archive.read_bytes() + rest)
    refused(tmp_path / "tail.tar.gz", "goes on after its last file")
    long = tarfile.TarInfo("digits/manifest.json")
    long.size = 10**12
    (tmp_path / "head.tar.gz").write_bytes(gzip.compress(long.tobuf(tarfile.GNU_FORMAT)))
    refused(tmp_path / "head.tar.gz", "must begin with a short manifest.json")


@pytest.mark.parametrize(
    "manifest",
    [
        {"format": "autodepth-study-2"},
        {"study": "another"},
        {"files": []},
        {"files": None},
        {"files": [{"name": "ledger.sqlite"}]},
        {"files": [{"name": "ledger.sqlite", "size": True, "sha256": "0" * 64}]},
        {"files": [{"name": "ledger.sqlite", "size": -1, "sha256": "0" * 64}]},
        {"files": [{"name": "ledger.sqlite", "size": 1, "sha256": "0"}]},
        {"files": [{"name": ["ledger.sqlite"], "size": 1, "sha256": "0" * 64}]},
        {"files": [{"name": "ledger.sqlite", "size": 1, "sha256": "0" * 64}] * 2},
    ],
)
def test_a_manifest_is_read_strictly(archive: Path, manifest: dict[str, Any]) -> None:
    refused(
        repack(archive, lambda _, data: data, **manifest), "must be whole and as it was written"
    )


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("CREATE TRIGGER t AFTER UPDATE ON study BEGIN DELETE FROM trial; END", "the tables of"),
        ("CREATE VIEW v AS SELECT * FROM trial", "the tables of"),
        ("ALTER TABLE trial ADD COLUMN more TEXT", "the tables of"),
        ("DROP TABLE epoch", "the tables of"),
        ("PRAGMA user_version = 99", "must have version .* has 99: a newer autodepth wrote it"),
        ("UPDATE trial SET result = replace(result, 'model.', '../../m.')", "outside its folder"),
        ("UPDATE trial SET result = replace(result, 'model.', '/etc/')", "outside its folder"),
        ("UPDATE trial SET result = '{}' WHERE number = 1", "cannot be read"),
        ("UPDATE trial SET state = 'asleep'", "cannot be read"),
        ("UPDATE epoch SET gradient_norms = 'x'", "cannot be read"),
        ("UPDATE study SET objectives = '[{}]'", "cannot be read"),
        ("UPDATE study SET name = 'another'", "not that of digits"),
        ("DELETE FROM study", "cannot be read"),
        ("DELETE FROM epoch; DELETE FROM spending; DELETE FROM trial WHERE number = 1", "gaps"),
    ],
)  # fmt: skip
def test_a_ledger_is_one_of_ours_or_refused(archive: Path, statement: str, message: str) -> None:
    refused(change_ledger(archive, statement), message)


def test_what_is_no_ledger_is_refused(archive: Path) -> None:
    def change(name: str, data: bytes) -> bytes:
        return b"no ledger" * 100 if name.endswith("sqlite") else data

    refused(repack(archive, change), "a ledger must be a SQLite file")
    page = repack(archive, lambda _, data: data[:6000] + b"\xff" * 4000 + data[10000:])
    refused(page, "ledger")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(cut=st.floats(0, 1, exclude_max=True))
def test_a_file_that_ends_early_is_refused(archive: Path, cut: float) -> None:
    whole = archive.read_bytes()
    short = archive.with_name("short.tar.gz")
    short.write_bytes(whole[: int(cut * len(whole))])
    refused(short, "must be whole and as it was written")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_file_with_a_damaged_byte_is_refused_or_gives_the_same_study(
    folder: StudyFolder, archive: Path, place: float, flip: int
) -> None:
    whole = bytearray(archive.read_bytes())
    whole[int(place * len(whole))] ^= flip
    damaged = archive.with_name("damaged.tar.gz")
    damaged.write_bytes(whole)
    try:
        loaded = load_study(damaged, f"d{len(list_studies())}")
    except StudyError:
        return
    assert content(loaded) == content(folder)  # the time or the system in the head of the gzip
    assert files(loaded) == files(folder)
