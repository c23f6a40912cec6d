"""What MLflow is told, without MLflow."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.records.ledger import Ledger
from autodepth.records.mlflow.payload import (
    final_measurements,
    hypervolume_curve,
    milliseconds,
    note,
    params,
    run_key,
    study_tags,
    trial_tags,
)
from autodepth.records.mlflow.sync import without_password
from autodepth.trial.result import TrialResult, TrialState


def test_a_policy_becomes_flat_text(policy: dict[str, object]) -> None:
    assert params(policy) == {
        "p_L": "0.8",
        "sensitivity_threshold.1": "0.01",
        "sensitivity_threshold.2": "0.02",
        "sensitivity_threshold.3": "0.1",
        "threshold_per": "stage",
        "train.epochs": "8",
        "train.weight_decay": "0.0005",
        "train.fine_tune_learning_rate": "none",
    }


def test_one_threshold_keeps_its_name_and_hundreds_share_one_column() -> None:
    assert params({"sensitivity_threshold": [0.05]}) == {"sensitivity_threshold": "0.05"}
    many = params({"sensitivity_threshold": [0.123456] * 600})
    assert list(many) == ["sensitivity_threshold"]
    assert len(many["sensitivity_threshold"]) < 6000  # MLflow cuts there in silence


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_exact_and_have_no_exponent(value: float) -> None:
    text = params({"x": value})["x"]
    assert "e" not in text.lower()
    assert float(text) == value


def test_runs_of_two_studies_of_one_name_have_different_keys(ledger: Ledger) -> None:
    study = ledger.study
    assert run_key(study, 3) == f"digits@{study.created_at}/3"
    assert run_key(study) != run_key(study, 0)


def test_a_failed_trial_says_why(ledger: Ledger) -> None:
    number = ledger.start_trial("search", {}, {})
    ledger.end_trial(number, TrialState.FAILED, "x" * 9000 + " the cause", 2.0)
    record = ledger.trial(number)
    tags = trial_tags(ledger.study, record, on_front=False)
    assert tags["autodepth.state"] == "failed"
    assert tags["autodepth.reason"].endswith(" the cause")
    assert len(tags["autodepth.reason"]) < 8000
    assert [m.key for m in final_measurements(record, on_front=False)] == ["trial_device_s"]


def test_members_of_the_front_have_a_colour_of_their_own(ledger: Ledger) -> None:
    record = ledger.trial(ledger.start_trial("search", {}, {}))
    member, other = (
        trial_tags(ledger.study, record, on_front=on_front)["mlflow.runColor"]
        for on_front in (True, False)
    )
    assert member != other == study_tags(ledger.study)["mlflow.runColor"]


def test_leaving_the_front_is_dated_after_being_on_it(
    ledger: Ledger, make_result: Callable[..., TrialResult]
) -> None:
    number = ledger.start_trial("search", {}, {})
    ledger.complete_trial(number, make_result(), 1.0)
    record = ledger.trial(number)
    joined, left = (
        next(m for m in final_measurements(record, on_front=on_front) if m.key == "on_front")
        for on_front in (True, False)
    )
    assert (joined.value, left.value) == (1.0, 0.0)
    assert (left.step, left.timestamp) > (joined.step, joined.timestamp)


def test_the_hypervolume_curve_follows_the_order_of_ending_and_all_spending(
    ledger: Ledger, make_result: Callable[..., TrialResult]
) -> None:
    first, failed, second = (ledger.start_trial("search", {}, {}) for _ in range(3))
    ledger.complete_trial(second, make_result(0.8, 20_000_000), 5.0)
    ledger.end_trial(failed, TrialState.FAILED, "no luck", 2.0)
    ledger.balance(8.0)  # a second of overhead
    ledger.complete_trial(first, make_result(0.9, 30_000_000), 4.0)
    values = [
        (m.key, m.step, pytest.approx(m.value))
        for m in hypervolume_curve(ledger.study, ledger.trials(), ledger.endings())
    ]
    assert values == [
        ("hypervolume", 1, 0.8 * 0.5),
        ("spent_device_s", 1, 5.0),
        ("hypervolume", 2, 0.9 * 0.25 + 0.8 * 0.25),
        ("spent_device_s", 2, 12.0),
    ]
    rest = hypervolume_curve(ledger.study, ledger.trials(), ledger.endings(), after=1)
    assert [m.step for m in rest] == [2, 2]


def test_times_are_milliseconds_in_utc() -> None:
    assert milliseconds("1970-01-02T00:00:00.250+00:00") == 86_400_250


def test_the_note_names_the_objectives(ledger: Ledger) -> None:
    told = note(ledger.study, view="#view", files="#files")
    assert "minimize `macs`, reference 40,000,000" in told
    assert "(#view)" in told
    assert "(#files)" in told


def test_trials_of_one_parent_share_a_tag_and_controls_say_whose_they_are(
    ledger: Ledger, make_result: Callable[..., TrialResult], policy: dict[str, object]
) -> None:
    first = ledger.start_trial("search", {}, policy)
    same = ledger.start_trial("search", {}, {**policy, "sensitivity_threshold": [0.5]})
    other = ledger.start_trial("search", {}, {**policy, "train": {"epochs": 9}})
    anew = ledger.start_trial("control", {}, policy, about=first, role="from_scratch", replicate=1)
    for number in (first, same, other, anew):
        ledger.complete_trial(number, make_result(), 1.0)
    tags = [trial_tags(ledger.study, record, on_front=False) for record in ledger.trials()]
    keys = [told["autodepth.parent"] for told in tags]
    assert keys[first] == keys[same]
    assert len(set(keys)) == 3
    assert (tags[anew]["autodepth.about"], tags[anew]["autodepth.role"]) == (
        "trial-0", "from_scratch",
    )  # fmt: skip
    assert "autodepth.about" not in tags[first]


def test_passwords_stay_out_of_messages() -> None:
    text = "API request to https://me:secret@host:5000/api failed"
    assert without_password(text) == "API request to https://host:5000/api failed"
