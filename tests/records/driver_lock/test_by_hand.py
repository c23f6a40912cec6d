"""Policies that people ask for: a file each, known by its content."""

from autodepth.records.driver_lock.by_hand import (
    FOLDER,
    ask_for,
    asked_for,
    role_of,
    take_back,
    trial_of,
)
from autodepth.records.ledger import Ledger
from autodepth.records.trial_record import LOST
from autodepth.trial.result import TrialState

TRIALS = ((0.9, 40_000_000, 40.0),)


def test_a_policy_is_asked_for_once_and_taken_back(make_recorded):
    folder = make_recorded("digits", TRIALS)
    assert asked_for(folder) == {}
    role = ask_for(folder, {"p_L": 0.5, "x": 1})
    assert role == ask_for(folder, {"x": 1, "p_L": 0.5}) == role_of({"x": 1, "p_L": 0.5})
    other = ask_for(folder, {"p_L": 0.6})
    assert asked_for(folder) == {role: {"p_L": 0.5, "x": 1}, other: {"p_L": 0.6}}
    (folder.path / FOLDER / "broken.json").write_text("{")
    take_back(folder, role)
    take_back(folder, role)
    assert asked_for(folder) == {other: {"p_L": 0.6}}


def test_what_was_lost_settles_nothing_unless_again_and_again(make_recorded, recorded_result):
    folder = make_recorded("digits", TRIALS)
    role = role_of({"p_L": 0.5})
    with Ledger.open(folder.ledger_path) as ledger:

        def tried():
            return ledger.start_trial("search", {}, {"p_L": 0.5}, role=role)

        for _ in range(3):
            number = tried()
            assert trial_of(ledger.trials(), role) is None
            ledger.end_trial(number, TrialState.FAILED, LOST, 1.0)
        assert trial_of(ledger.trials(), role).number == number
        last = tried()
        ledger.complete_trial(last, recorded_result(0.9, 10), 1.0)
        assert trial_of(ledger.trials(), role).number == last
        assert trial_of(ledger.trials(), role_of({"p_L": 0.6})) is None
