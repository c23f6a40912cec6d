"""A cache in a folder: drafts of the dead leave, and it may be read only."""

import os
import time

from trial.cache.test_cache import A, put, read

from autodepth.trial.cache.cache import StageCache


def test_drafts_of_writers_that_died_leave_after_a_day(tmp_path):
    cache = StageCache(tmp_path)
    for name, age in (("old", 90_000), ("new", 10)):
        draft = tmp_path / f".draft-{name}"
        draft.mkdir()
        os.utime(draft, (time.time() - age,) * 2)
    put(cache, A)

    assert {path.name for path in tmp_path.iterdir()} == {".draft-new", A}


def test_a_cache_that_may_only_be_read_is_read(tmp_path):
    put(StageCache(tmp_path), A)
    (tmp_path / A).chmod(0o555)
    tmp_path.chmod(0o555)
    try:
        assert StageCache(tmp_path).load(A, read) == "value"
    finally:
        tmp_path.chmod(0o755)
        (tmp_path / A).chmod(0o755)
