"""A manifest is data: it names plain files, or it is damage."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trial.cache.test_cache import A, disk, put

from autodepth.trial.cache.cache import StageCache
from autodepth.trial.cache.entry import DamagedEntryError, Manifest


@pytest.mark.parametrize("name", ["../file.txt", "/etc/passwd", ".hidden", "a/b", "", "x" * 65])
def test_a_manifest_cannot_name_a_file_elsewhere(where, name):
    cache = StageCache(where)
    put(cache, A)
    files, root = disk(where)
    manifest = json.loads(files.cat_file(f"{root}/{A}/manifest.json"))
    manifest["files"] = {name: next(iter(manifest["files"].values()))}
    files.pipe_file(f"{root}/{A}/manifest.json", json.dumps(manifest).encode())

    assert cache.load(A, lambda _: "read") is None


@given(text=st.text() | st.binary() | st.dictionaries(st.text(), st.integers()).map(json.dumps))
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_no_manifest_is_damage_and_nothing_else(text):
    with pytest.raises(DamagedEntryError):
        Manifest.parse(text)
