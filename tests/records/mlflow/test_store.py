"""A SQLite store of MLflow's is there whole or not at all, whenever its making is broken off."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from autodepth.records.mlflow import store
from autodepth.records.mlflow.client import connect

KILLED = """
import os, signal, sys
import sqlalchemy
from autodepth.records.mlflow.client import connect
left = int(sys.argv[2])

@sqlalchemy.event.listens_for(sqlalchemy.Engine, "after_cursor_execute")
def kill(_, __, statement, *___):
    global left
    left -= "CREATE TABLE" in statement
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[3:]:  # as `mlflow ui` makes it
    from mlflow.tracking import MlflowClient
    MlflowClient(sys.argv[1]).search_experiments()
connect(sys.argv[1])
"""


def killed(uri: str, tables: int, *how: str) -> None:
    """Make a store in a process that is killed when there are so many tables."""
    command = [sys.executable, "-c", KILLED, uri, str(tables), *how]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def experiments(uri: str) -> list[str]:
    client = connect(uri)
    client.create_experiment("digits")
    return sorted(found.name for found in client.search_experiments())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mlflow.db"


@pytest.mark.slow
def test_what_is_killed_while_it_makes_a_store_leaves_none(path: Path) -> None:
    uri = f"sqlite:///{path}"
    killed(uri, 12)
    assert not path.exists()

    assert experiments(uri) == ["Default", "digits"]
    assert sorted(file.name for file in path.parent.glob("*mlflow.db*")) == [
        ".mlflow.db.lock", "mlflow.db",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_store_that_mlflow_left_half_made_is_made_anew_when_nobody_is_at_it(path: Path) -> None:
    uri = f"sqlite:///{path}"
    killed(uri, 12, "by MLflow")
    half_made = path.read_bytes()
    store.make_store(uri)  # somebody may just be making it
    assert path.read_bytes() == half_made
    long_ago = time.time() - 3600
    os.utime(path, (long_ago, long_ago))

    assert experiments(uri) == ["Default", "digits"]
    assert path.with_name("mlflow.db.half-made").exists()


def test_a_store_with_experiments_is_left_as_it_is_whoever_made_it(path: Path) -> None:
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE experiments (name TEXT)")
        made.execute("INSERT INTO experiments VALUES ('Default')")
    os.utime(path, (0, 0))
    before = path.read_bytes()
    store.make_store(f"sqlite:///{path}?timeout=60")

    assert path.read_bytes() == before


def test_what_is_no_store_or_is_locked_is_left_to_mlflow(path: Path) -> None:
    path.write_text("a letter")
    store.make_store(f"sqlite:///{path}")
    assert path.read_text() == "a letter"
    path.unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as at_work:
        at_work.execute("BEGIN EXCLUSIVE")
        at_work.execute("CREATE TABLE trace_info (id INTEGER)")
        os.utime(path, (0, 0))
        store.make_store(f"sqlite:///{path}")
        at_work.execute("COMMIT")
    assert [file.name for file in path.parent.iterdir()] == ["mlflow.db"]


@pytest.mark.parametrize("uri", ["http://127.0.0.1:5000", "sqlite://", "postgresql://host/mlflow"])
def test_other_stores_are_made_by_others(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store.make_store(uri)
    store.make_store(f"sqlite:///{tmp_path}/missing/mlflow.db")

    assert list(tmp_path.iterdir()) == []
