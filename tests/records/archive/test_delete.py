"""A study is deleted whole, and never one that runs."""

import pytest

from autodepth.errors import StudyError, StudyInUseError
from autodepth.records.archive.delete import delete_study
from autodepth.records.driver_lock.lock import DriverLock
from autodepth.records.studies import find_study, studies_root

TRIALS = ((0.9, 40_000_000, 40.0), (0.8, 10_000_000, 30.0))


def test_a_deleted_study_is_gone_and_its_name_is_free(make_recorded):
    kept = make_recorded("kept", TRIALS)
    for _ in range(2):
        delete_study(make_recorded("digits", TRIALS))
    with pytest.raises(StudyError):
        find_study("digits")
    assert [path.name for path in studies_root().iterdir()] == ["kept"]
    assert kept.ledger_path.exists()


def test_a_study_that_runs_is_not_deleted(make_recorded):
    folder = make_recorded("digits", TRIALS)
    with DriverLock(folder), pytest.raises(StudyInUseError):
        delete_study(folder)
    assert find_study("digits").ledger_path.exists()


def test_what_was_deleted_half_is_no_study_and_goes_with_the_next(make_recorded):
    folder = make_recorded("digits", TRIALS)
    left = folder.path.with_name(".deleted-digits")
    left.mkdir()
    (left / "rest").write_text("")
    delete_study(folder)
    assert not left.exists()
