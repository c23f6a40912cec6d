"""Exports: whole ones alone, and downloaded as they are."""

import io
import zipfile

import pytest

from autodepth.dashboard.rest.exports import (
    archive_of,
    export_folder,
    export_folders,
    size_of,
    verification_of,
)
from autodepth.errors import InputError, StudyError


@pytest.fixture
def root(tmp_path):
    for name in ("one", "several/knee", "several/smallest", ".draft.x", "half"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.bin").write_bytes(b"12345")
        if name != "half":
            (tmp_path / name / "verification.json").write_text('{"ok": true}')
    (tmp_path / "link").symlink_to(tmp_path / "one")
    (tmp_path / "one" / "outside").symlink_to("/etc/passwd")
    return tmp_path


def test_only_whole_exports_are_there(root):
    assert [folder.name for folder in export_folders(root)] == ["one", "several"]
    assert verification_of(export_folder(root, "one")) == {"ok": True}
    assert set(verification_of(export_folder(root, "several"))) == {"knee", "smallest"}
    for name in ("half", "link", "nothing", "..x"):
        with pytest.raises((StudyError, InputError)):
            export_folder(root, name)
    with pytest.raises(InputError):
        export_folder(root, "../one")


def test_an_archive_has_every_file_and_no_link(root):
    folder = export_folder(root, "one")
    with zipfile.ZipFile(io.BytesIO(b"".join(archive_of(folder)))) as archive:
        assert sorted(archive.namelist()) == ["one/model.bin", "one/verification.json"]
        assert archive.read("one/model.bin") == b"12345"
    assert size_of(folder) == 5 + len('{"ok": true}')
