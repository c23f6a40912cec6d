"""A cache behind a URL: entries without a manifest, stores that are away."""

import logging
import uuid

import pytest
from trial.cache.test_cache import A, disk, paths, put, read

from autodepth.errors import InputError
from autodepth.trial.cache.cache import StageCache


def test_a_manifest_is_what_makes_an_entry_behind_a_url():
    where = f"memory://{uuid.uuid4().hex}"
    cache = StageCache(where)
    put(cache, A)
    files, root = disk(where)
    files.rm_file(f"{root}/{A}/manifest.json")  # as a writer leaves it that died before

    assert cache.load(A, read) is None
    assert paths(where, A)  # another may just be writing it
    assert [entry.kind for entry in cache.entries()] == ["damaged"]
    put(cache, A, "again")
    assert cache.load(A, read) == "again"
    files.rm_file(f"{root}/{A}/manifest.json")
    assert cache.clear() > 0
    assert files.find(root) == []


@pytest.mark.parametrize("place", ["file", "http"])
def test_a_place_that_cannot_be_reached_keeps_nothing_and_ends_nothing(place, tmp_path, caplog):
    (tmp_path / "file").touch()
    where = {"file": str(tmp_path / "file"), "http": "http://127.0.0.1:9/cache"}[place]
    cache = StageCache(where)

    with caplog.at_level(logging.WARNING):
        assert cache.load(A, read) is None
        assert not put(cache, A)
        assert (cache.kept(), cache.trim(0)) == ([], 0)
        cache.remove(A)

    assert len(caplog.records) == 1
    with pytest.raises(OSError):
        cache.entries()


@pytest.mark.parametrize("url", ["nope://bucket", "s3x://a/b", "zipp::memory://a"])
def test_a_url_that_nothing_opens_is_told_at_once(url):
    with pytest.raises(InputError, match="a cache must be a folder or a URL that fsspec opens"):
        StageCache(url)
