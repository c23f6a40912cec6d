"""A folder that takes no more is told with what to do, and with what is safe."""

import errno
import os
import sqlite3

import pytest

from autodepth.errors import StorageError
from autodepth.records.storage import LEDGER, refused, taking

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_before_a_ledger_is_there_nothing_was_begun(tmp_path):
    told = str(refused(tmp_path / "study", FULL))

    assert "No space left on device" in told
    assert "nothing was begun" in told
    assert "AUTODEPTH_HOME" in told


def test_a_study_that_was_begun_goes_on_with_resume(tmp_path):
    (tmp_path / LEDGER).touch()
    told = str(refused(tmp_path, FULL))

    assert "what was entered before is whole" in told
    assert f"autodepth resume {tmp_path.name}" in told


def test_a_ledger_that_another_program_locks_is_waited_for(tmp_path):
    path = tmp_path / LEDGER
    with sqlite3.connect(path, isolation_level=None) as one:
        one.execute("CREATE TABLE t (x)")
        one.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError) as busy:
            sqlite3.connect(path, timeout=0).execute("INSERT INTO t VALUES (1)")
        one.execute("ROLLBACK")

    assert "once the process that is in the midst of a write there has ended" in str(
        refused(tmp_path, busy.value)
    )


def test_only_what_the_file_system_refuses_is_turned(tmp_path):
    with pytest.raises(StorageError, match=str(tmp_path)) as error, taking(tmp_path):
        raise FULL
    assert error.value.__cause__ is FULL
    with pytest.raises(ValueError, match="mine"), taking(tmp_path):
        raise ValueError("mine")
