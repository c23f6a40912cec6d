"""Deleting a study: its folder is gone at once, or it is all there."""

from __future__ import annotations

import shutil

from autodepth.records.driver_lock.lock import DriverLock
from autodepth.records.storage import taking
from autodepth.records.studies import StudyFolder

_GONE = ".deleted"


def delete_study(folder: StudyFolder) -> None:
    """Delete a study, its weights and its ledger; what MLflow has of it stays there.

    Raises:
        StudyInUseError: a process drives it.
        StorageError: the file system does not let go of it.
    """
    with taking(folder.path.parent):
        with DriverLock(folder):
            folder.ledger_path.unlink()  # without it the folder is no study any more
            for beside in ("-wal", "-shm"):
                folder.ledger_path.with_name(folder.ledger_path.name + beside).unlink(
                    missing_ok=True
                )
            gone = folder.path.with_name(f"{_GONE}-{folder.name}")
            shutil.rmtree(gone, ignore_errors=True)  # of one that was deleted half
            folder.path.rename(gone)
        shutil.rmtree(gone)
