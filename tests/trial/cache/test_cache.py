"""Entries are whole or absent, wherever they lie, and the least recently used leave first."""

import json
import logging
import signal
import subprocess
import sys
import time

import fsspec
import pytest

from autodepth.errors import InputError
from autodepth.trial.cache.cache import StageCache, content_key

A, B, C, D, E = (content_key(name=name) for name in "abcde")


def filled(text="value"):
    return lambda folder: (folder / "file.txt").write_text(text)


def read(folder):
    return (folder / "file.txt").read_text()


def put(cache, key, text="value"):
    time.sleep(0.003)  # times of use are told apart by the millisecond
    return cache.store(key, filled(text), kind="scores")


def disk(where):
    files, root = fsspec.core.url_to_fs(where)
    return files, root.rstrip("/")


def paths(where, key):
    """Return the files of an entry apart from the manifest and the times of use."""
    files, root = disk(where)
    found = files.find(f"{root}/{key}")
    return [path for path in found if not path.endswith("manifest.json") and "used." not in path]


def keys(where):
    return set(StageCache(where).kept())


def test_what_was_stored_is_loaded(where):
    cache = StageCache(where)
    assert cache.load(A, read) is None
    assert cache.kept() == []

    assert put(cache, A)

    assert StageCache(where).load(A, read) == "value"
    assert cache.load(B, read) is None
    assert cache.kept() == [A]
    assert cache.kept(A[:5]) == [A]
    assert cache.kept("x") == []


def test_without_a_place_nothing_is_kept():
    cache = StageCache(None)

    assert not put(cache, A)
    assert cache.load(A, read) is None
    assert (cache.kept(), cache.entries(), cache.trim(0), cache.clear()) == ([], [], 0, 0)


def test_the_first_of_two_that_did_the_same_work_stays(where):
    cache = StageCache(where)
    assert put(cache, A, "first")
    assert put(cache, A, "second")

    assert cache.load(A, read) == "first"
    assert cache.kept() == [A]


@pytest.mark.parametrize(
    "harm", ["flip", "truncate", "delete", "no JSON", "a list", "another format"]
)
def test_a_damaged_entry_counts_as_absent_and_is_made_again(where, harm):
    cache = StageCache(where)
    put(cache, A)
    (file,) = paths(where, A)
    files, root = disk(where)
    manifest = f"{root}/{A}/manifest.json"
    if harm == "flip":
        files.pipe_file(file, b"valuf")
    elif harm == "truncate":
        files.pipe_file(file, b"val")
    elif harm == "delete":
        files.rm_file(file)
    elif harm == "no JSON":
        files.pipe_file(manifest, b'{"format": 2, "fil')
    elif harm == "a list":
        files.pipe_file(manifest, b"[1]")
    else:
        files.pipe_file(manifest, files.cat_file(manifest).replace(b'"format": 2', b'"format": 1'))

    assert cache.load(A, read) is None
    put(cache, A, "again")
    assert cache.load(A, read) == "again"


def test_an_entry_that_its_reader_makes_nothing_of_is_damaged(where):
    cache = StageCache(where)
    put(cache, A, "no number")

    assert cache.load(A, lambda folder: int(read(folder))) is None
    assert cache.kept() == []


def test_a_writer_that_is_interrupted_leaves_no_entry(where):
    def dying(folder):
        (folder / "file.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        StageCache(where).store(A, dying, kind="scores")

    files, root = disk(where)
    assert not files.exists(root) or files.find(root) == []


def test_a_full_disk_keeps_nothing_and_is_told_once(where, caplog):
    def full(folder):
        raise OSError(28, "No space left on device")

    cache = StageCache(where)
    with caplog.at_level(logging.WARNING):
        assert not cache.store(A, full, kind="scores")
        assert not cache.store(B, full, kind="scores")

    assert cache.load(A, read) is None
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text


def test_the_least_recently_used_entries_leave(where):
    cache = StageCache(where)
    for key in (A, B, C):
        put(cache, key, key * 20)
    time.sleep(0.003)
    assert cache.load(A, read)  # used just now
    one = max(entry.size for entry in cache.entries())

    small = StageCache(where, limit_bytes=3 * one + one // 2)
    put(small, D, D * 20)
    put(small, E, E * 20)

    assert keys(where) == {A, D, E}


def test_one_entry_that_is_larger_than_the_limit_stays(where):
    cache = StageCache(where, limit_bytes=10)
    put(cache, A, "a" * 100)
    assert cache.load(A, read) == "a" * 100

    put(cache, B, "b" * 100)
    assert keys(where) == {B}


def test_entries_tell_stage_size_and_times(where):
    cache = StageCache(where)
    before = time.time()
    put(cache, A, "x" * 1000)
    cache.store(f"{B}.000003.partial", filled(), kind="partial")
    put(cache, C)
    files, root = disk(where)
    files.pipe_file(f"{root}/{C}/manifest.json", b"{}")

    first, second, third = cache.entries()

    assert [e.key for e in (first, second, third)] == [A, f"{B}.000003.partial", C]
    assert [e.kind for e in (first, second, third)] == ["scores", "partial", "damaged"]
    assert 1000 < first.size < 2000
    assert before - 1 < first.used <= second.used <= third.used <= time.time() + 1
    assert first.created.endswith("+00:00")
    assert json.loads(files.cat_file(f"{root}/{A}/manifest.json"))["size"] == 1000


def test_trimming_and_clearing_tell_what_they_freed_and_leave_what_is_not_the_caches(where):
    cache = StageCache(where)
    for key in (A, B, C):
        put(cache, key)
    files, root = disk(where)
    for other in ("holidays/photo.jpg", "notes.txt", "a" * 63 + "/file"):
        files.makedirs(f"{root}/{other}".rpartition("/")[0], exist_ok=True)
        files.pipe_file(f"{root}/{other}", b"mine")
    sizes = [entry.size for entry in cache.entries()]

    assert cache.trim(sizes[2]) == sizes[0] + sizes[1]
    assert keys(where) == {C}
    assert cache.trim(sizes[2]) == 0
    assert cache.clear() == sizes[2]

    assert cache.entries() == []
    assert len(files.find(root)) == 3


WRITER = """
import sys
from autodepth.trial.cache.cache import StageCache, content_key
where, me, count, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

def write(folder):
    for name in "one", "two", "three":
        (folder / name).write_text(me * size)

cache = StageCache(where)
print("ready", flush=True)
for number in range(count):
    cache.store(content_key(number=number), write, kind="scores")
"""


def writer(where, me, count, size):
    command = [sys.executable, "-c", WRITER, where, me, str(count), str(size)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def three(folder):
    return {(folder / name).read_text() for name in ("one", "two", "three")}


@pytest.fixture(params=["folder", "async"])
def shared(request, tmp_path):
    """Return a place that processes share."""
    return {"folder": "", "async": "async_wrapper::file://"}[request.param] + f"{tmp_path}/cache"


def test_processes_that_write_the_same_entries_at_once_leave_each_whole(shared):
    with writer(shared, "a", 30, 1000) as one, writer(shared, "b", 30, 1000) as other:
        assert (one.wait(120), other.wait(120)) == (0, 0)
    cache = StageCache(shared)

    loaded = [cache.load(content_key(number=number), three) for number in range(30)]

    assert all(found in ({"a" * 1000}, {"b" * 1000}) for found in loaded)


@pytest.mark.parametrize("seconds", [0.01, 0.05, 0.2])
def test_a_writer_that_is_killed_leaves_whole_entries_or_none(shared, seconds):
    with writer(shared, "a", 100_000, 100_000) as process:
        process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
    cache = StageCache(shared)

    for number in range(5):
        key = content_key(number=number)
        assert cache.load(key, three) in (None, {"a" * 100_000})
        cache.store(key, lambda folder: [(folder / n).touch() for n in ("one", "two", "three")],
                    kind="scores")  # fmt: skip
        assert cache.load(key, three) in ({""}, {"a" * 100_000})
    cache.clear()
    files, root = disk(shared)
    assert files.find(root) == []


def test_credentials_of_a_url_are_not_shown():
    with pytest.raises(InputError) as caught:
        StageCache("nope://someone:secret@host/cache")
    assert "secret" not in str(caught.value)
    assert StageCache("http://someone:secret@127.0.0.1:9/c").location == "http://...@127.0.0.1:9/c"


def test_keys_tell_contents_apart_and_not_their_order():
    assert content_key(a=1, b=[1.0, 2]) == content_key(b=[1.0, 2], a=1)
    assert content_key(a=1) != content_key(a=2)
    with pytest.raises(ValueError, match="JSON"):
        content_key(a=float("nan"))


def test_entries_are_listed_once_in_a_sixteenth_of_the_limit(where, monkeypatch):
    cache = StageCache(where, limit_bytes=100_000)
    listed, usage = [], cache._store.usage
    monkeypatch.setattr(cache._store, "usage", lambda: listed.append(1) or usage())

    for number in range(120):  # of 1000 bytes and a manifest: the last ones only fit if some leave
        cache.store(content_key(number=number), filled("x" * 1000), kind="scores")

    taken = sum(entry.size for entry in usage())
    assert 80_000 < taken <= 100_000
    assert len(listed) <= 40
