"""What is asked of a study that runs: by command, from the page and over REST alike."""

from __future__ import annotations

from autodepth.errors import InputError, StudyError
from autodepth.records.driver_lock.heartbeat import Driver
from autodepth.records.driver_lock.lock import driver_of, wish
from autodepth.records.studies import StudyFolder


def ask_to_end(folder: StudyFolder) -> Driver | None:
    """Ask the process that drives a study to end in order; return it, None where there is none."""
    driver = driver_of(folder)
    if driver is not None:
        wish(folder, stop=True)
    return driver


def ask_for_concurrency(folder: StudyFolder, count: int) -> None:
    """Ask for so many trials at a time.

    Raises:
        InputError: it is not in [1, places], the trials whose devices the study has reserved.
        StudyError: nothing drives the study.
    """
    places = folder.plan["concurrency"]
    if count < 1:
        raise InputError(f"concurrency must be a whole number of at least 1, but got {count}")
    if count > places:
        raise InputError(
            f"concurrency must be at most {places}, the places this study has reserved and is "
            f"charged for, but got {count}"
        )
    if driver_of(folder) is None:
        raise StudyError(
            f"only a study that runs can be changed, but no process drives {folder.name}"
        )
    wish(folder, concurrency=count)
