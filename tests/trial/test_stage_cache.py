"""Entries are whole or absent, and the least recently used leave first."""

import os

import pytest

from autodepth.trial.stage_cache import StageCache, content_key


def filled(text="value"):
    return lambda folder: (folder / "file.txt").write_text(text)


def read(folder):
    return (folder / "file.txt").read_text()


def test_what_was_stored_is_loaded(tmp_path):
    cache = StageCache(tmp_path / "cache")
    assert cache.load("a", read) is None

    cache.store("a", filled())

    assert cache.load("a", read) == "value"
    assert cache.load("b", read) is None


def test_without_a_folder_nothing_is_kept(tmp_path):
    cache = StageCache(None)
    cache.store("a", filled())

    assert cache.load("a", read) is None


def test_the_first_of_two_that_did_the_same_work_stays(tmp_path):
    cache = StageCache(tmp_path)
    cache.store("a", filled("first"))
    cache.store("a", filled("second"))

    assert cache.load("a", read) == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("harm", ["flip", "truncate", "delete", "manifest", "no manifest"])
def test_a_damaged_entry_counts_as_absent_and_is_made_again(tmp_path, harm):
    cache = StageCache(tmp_path)
    cache.store("a", filled())
    file, manifest = tmp_path / "a" / "file.txt", tmp_path / "a" / "manifest.json"
    if harm == "flip":
        file.write_text("valuf")
    elif harm == "truncate":
        file.write_text("val")
    elif harm == "delete":
        file.unlink()
    elif harm == "manifest":
        manifest.write_text("[1")
    else:
        manifest.unlink()

    assert cache.load("a", read) is None
    cache.store("a", filled("again"))
    assert cache.load("a", read) == "again"


def test_a_writer_that_dies_leaves_no_entry(tmp_path):
    def dying(folder):
        (folder / "file.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        StageCache(tmp_path).store("a", dying)

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_nothing_and_harms_nothing(tmp_path):
    def full(folder):
        raise OSError(28, "No space left on device")

    cache = StageCache(tmp_path)
    cache.store("a", full)

    assert cache.load("a", read) is None


def test_the_least_recently_used_entries_leave(tmp_path):
    cache = StageCache(tmp_path, limit_bytes=700)
    for age, key in enumerate("abc"):
        cache.store(key, filled(key * 100))
        os.utime(tmp_path / key, (age, age))
    assert cache.load("a", read)  # used just now

    cache.store("d", filled("d" * 100))
    cache.store("e", filled("e" * 100))

    assert {path.name for path in tmp_path.iterdir()} == {"a", "d", "e"}


def test_one_entry_that_is_larger_than_the_limit_stays(tmp_path):
    cache = StageCache(tmp_path, limit_bytes=10)
    cache.store("a", filled("a" * 100))

    assert cache.load("a", read) == "a" * 100


def test_keys_tell_contents_apart_and_not_their_order():
    assert content_key(a=1, b=[1.0, 2]) == content_key(b=[1.0, 2], a=1)
    assert content_key(a=1) != content_key(a=2)
    with pytest.raises(ValueError, match="JSON"):
        content_key(a=float("nan"))
