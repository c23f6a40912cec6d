"""A file is there whole or not at all."""

import os
import stat

import pytest

from autodepth.atomic import write_atomically


def test_content_replaces_content_and_nothing_else_is_left(tmp_path):
    file = tmp_path / "state.json"
    write_atomically(file, "old")

    write_atomically(file, b"new")

    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_the_mode_is_that_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")

    write_atomically(tmp_path / "atomic", "")

    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic")]
    assert modes[0] == modes[1]


def test_a_failure_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch):
    file = tmp_path / "state.json"
    write_atomically(file, "old")

    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(file, "new")

    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
