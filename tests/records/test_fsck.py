"""What must hold for a study: whole ones pass, and each way of breaking one is found."""

import sqlite3

import pytest

from autodepth.atomic import sha256_of
from autodepth.errors import StudyError
from autodepth.records.driver_lock.lock import DriverLock
from autodepth.records.fsck import broken_invariants, mend
from autodepth.records.ledger import Ledger
from autodepth.records.studies import create_study_folder
from autodepth.records.trial_record import LOST
from autodepth.trial.result import EpochReport, TrialState


def epoch(step):
    return EpochReport(
        phase="parent", step=step, train_loss=0.3, train_accuracy=0.9, validation_accuracy=0.8,
        branches_expected=8.0, branches_computed=8.0, gradient_norms={}, images_per_second=9.0,
        seconds=1.5,
    )  # fmt: skip


@pytest.fixture
def folder(home, make_study, make_result, policy):
    """A study with two members of its front, one trial beaten by both, and one that failed."""
    from dataclasses import replace

    folder = create_study_folder("digits")
    with Ledger.create(folder.ledger_path, make_study()) as ledger:
        for number, (accuracy, macs) in enumerate([(0.9, 20), (0.8, 10), (0.7, 30)]):
            assert ledger.start_trial("search", {}, {**policy, "p_L": 0.5 + number / 10}) == number
            ledger.record([(number, epoch(1)), (number, epoch(2))])
            weights = folder.trial_folder(number) / "weights.safetensors"
            weights.parent.mkdir(parents=True)
            weights.write_bytes(bytes(100))
            result = replace(make_result(accuracy, macs * 10**6), weights_sha256=sha256_of(weights))
            ledger.complete_trial(number, result, 5.0, spent=10.0 * (number + 1))
        ledger.end_trial(ledger.start_trial("search", {}, policy), TrialState.FAILED, "why", 1.0)
    return folder


def change(folder, statement):
    with sqlite3.connect(folder.ledger_path) as connection:
        connection.execute(statement)
    connection.close()


def test_a_study_that_is_whole_breaks_nothing(folder):
    assert broken_invariants(folder) == []


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM trial WHERE number = 3", "belongs to no trial"),
        ("UPDATE trial SET ended_at = NULL WHERE number = 1", "trial 1 is complete"),
        ("UPDATE trial SET result = NULL WHERE number = 1", "trial 1 is complete"),
        ("UPDATE trial SET reason = NULL WHERE number = 3", "trial 3 is failed"),
        ("UPDATE trial SET state = 'asleep' WHERE number = 1", "the state of a trial must be"),
        ("UPDATE trial SET policy = (SELECT policy FROM trial WHERE number = 0)"
         " WHERE number = 2", "2 trials completed"),
        ("UPDATE trial SET spent = 1e9 WHERE number = 2", "trial 2 ended at 1000000000.0"),
        ("UPDATE epoch SET step = 7 WHERE trial = 0 AND step = 2", "trial 0 has [1, 7]"),
        ("UPDATE trial SET candidate = NULL WHERE number = 1", "trial 1 is not on it"),
        ("UPDATE trial SET candidate = '[0.99, 1]' WHERE number = 2", "trial 2 is on it"),
    ],
)  # fmt: skip
def test_what_does_not_hold_is_found_and_not_mended(folder, statement, found):
    change(folder, statement)
    broken = broken_invariants(folder)

    assert broken
    assert any(found in breach.found for breach in broken), broken
    assert mend(folder)[1] != []


def test_weights_that_changed_or_went_are_found(folder):
    (folder.trial_folder(0) / "weights.safetensors").write_bytes(bytes(99) + b"\1")
    (folder.trial_folder(1) / "weights.safetensors").unlink()
    (folder.trial_folder(2) / "weights.safetensors").unlink()  # beaten: it needs none

    assert [breach.found.rpartition("/")[2] for breach in broken_invariants(folder)] == [
        "weights.safetensors changed since",
        "trial 1 has none",
    ]


def test_a_damaged_file_is_told_before_anything_it_says(folder):
    size = folder.ledger_path.stat().st_size
    with folder.ledger_path.open("r+b") as file:
        file.seek(size - 3 * 4096)
        file.write(b"\xff" * 4096 * 2)

    broken = broken_invariants(folder)
    assert {breach.rule for breach in broken} == {"the ledger is a sound file"}


def test_what_a_killed_driver_leaves_is_mended(folder, policy):
    with Ledger.open(folder.ledger_path) as ledger:
        ledger.start_trial("search", {}, {**policy, "p_L": 0.9})
        ledger.record([(4, epoch(1))])
        ledger.balance(40.0)
    half = folder.path / f".space.yaml.{'0a' * 16}"
    half.write_text("spa")
    found = broken_invariants(folder)
    mended, broken = mend(folder)

    assert [breach.mend is not None for breach in found] == [True, True]
    assert [breach.rule for breach in mended] == [breach.rule for breach in found]
    assert broken == []
    assert not half.exists()
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        assert (ledger.trial(4).state, ledger.trial(4).reason) == (TrialState.FAILED, LOST)
        assert ledger.trial(4).device_seconds == pytest.approx(1.5)
        assert ledger.spent() == pytest.approx(40.0)


def test_a_study_that_is_driven_is_left_to_its_driver(folder, policy):
    with DriverLock(folder), Ledger.open(folder.ledger_path) as ledger:
        ledger.start_trial("search", {}, {**policy, "p_L": 0.9})

        assert broken_invariants(folder) == []
        with pytest.raises(StudyError, match="mended while nothing drives it, but process"):
            mend(folder)
