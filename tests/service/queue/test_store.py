"""The queue's file: what was entered is there, in order, and once."""

import sqlite3

import pytest

from autodepth.errors import NotNowError, StorageError, StudyError
from autodepth.service.queue.store import QUEUE_FILE, QueueStore
from autodepth.service.queue.work import NewWork


def new(study="digits", owner="alice", **others):
    return NewWork(owner=owner, kind="search", study=study, arguments={"seed": 3}, **others)


def test_works_keep_their_order_and_outlive_the_process(tmp_path):
    with QueueStore(tmp_path) as store:
        for name in ("b", "a", "c"):
            store.add(new(name))
        store.change(2, state="running", slot=1, attempt=1)
    with QueueStore(tmp_path) as store:
        works = store.works()
        assert [(work.number, work.study) for work in works] == [(1, "b"), (2, "a"), (3, "c")]
        assert works[0].arguments == {"seed": 3}
        ended = store.end(store.work(2), "done", "it is spent", 12.5)
        assert (ended.state, ended.slot, ended.charged, ended.unfinished) == (
            "done", None, 12.5, False,
        )  # fmt: skip
        assert [work.number for work in store.works(unfinished=True)] == [1, 3]
        assert [work.number for work in store.works(study="c")] == [3]
        with pytest.raises(StudyError, match="no work 9"):
            store.work(9)


def test_what_is_asked_twice_under_one_key_is_done_once(tmp_path):
    done = []

    def act():
        done.append(1)
        return store.add(new())

    with QueueStore(tmp_path) as store:
        first, again = store.once("alice", "k", ["x"], act), store.once("alice", "k", ["x"], act)
        assert (first[1], again[1], len(done)) == (True, False, 1)
        assert first[0] == again[0]
        with pytest.raises(NotNowError, match="used for another: 'k'"):
            store.once("alice", "k", ["y"], act)
        assert store.once("bob", "k", ["y"], act)[1]  # everybody has keys of their own
    with QueueStore(tmp_path) as store:
        assert not store.once("alice", "k", ["x"], act)[1]
        assert len(store.works()) == 2


def test_a_key_is_not_used_up_by_what_was_refused(tmp_path):
    def refuse():
        store.add(new())
        raise NotNowError("no")

    with QueueStore(tmp_path) as store:
        with pytest.raises(NotNowError):
            store.once("alice", "k", ["x"], refuse)
        assert store.works() == []
        assert store.once("alice", "k", ["x"], lambda: store.add(new()))[1]


def test_a_file_of_another_version_or_kind_is_refused(tmp_path):
    with QueueStore(tmp_path / "old"):
        pass
    with sqlite3.connect(tmp_path / "old" / QUEUE_FILE) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StudyError, match=r"version 1, but .* has 99"):
        QueueStore(tmp_path / "old")
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / QUEUE_FILE).write_bytes(b"no database" * 100)
    with pytest.raises(StudyError, match="must be a SQLite file"):
        QueueStore(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        QueueStore(tmp_path / "file" / "queue")
