"""Two drivers of one study: exactly one runs, at any time."""

import os
import sys
import time
from multiprocessing.connection import wait

from crash_loop import start_copy

from autodepth.errors import StudyInUseError
from autodepth.records.control import DriverLock, driver_of
from autodepth.records.studies import create_study_folder

TURNS = 10 if "AUTODEPTH_FAULT_SHARE" not in os.environ else 50  # with it in `make faults`


def drive_until(end, folder, log):
    """Try to drive a study; write down that it was possible, and hold it until a file is there."""
    try:
        with DriverLock(folder):
            with log.open("a") as file:
                file.write(f"{os.getpid()}\n")
            while not end.exists():
                time.sleep(0.001)
    except StudyInUseError:
        sys.exit(75)


def test_of_two_started_at_once_exactly_one_runs_every_time(tmp_path):
    folder = create_study_folder("contested")
    for turn in range(TURNS):
        log, end = tmp_path / f"log-{turn}", tmp_path / f"end-{turn}"
        both = [start_copy(drive_until, end, folder, log) for _ in "ab"]
        wait([each.sentinel for each in both])
        (loser,) = [each for each in both if not each.is_alive()]
        (winner,) = set(both) - {loser}
        assert loser.exitcode == 75
        assert driver_of(folder).pid == winner.pid
        end.touch()
        winner.join()
        assert winner.exitcode == 0
        assert log.read_text() == f"{winner.pid}\n"
        assert driver_of(folder) is None


def test_one_that_is_killed_makes_way_at_once(tmp_path):
    folder = create_study_folder("left")
    first = start_copy(drive_until, tmp_path / "never", folder, tmp_path / "log")
    while driver_of(folder) is None:
        time.sleep(0.001)
    first.kill()
    first.join()
    begun = time.monotonic()
    with DriverLock(folder):
        waited = time.monotonic() - begun

    assert waited < 5
