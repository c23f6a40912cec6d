"""A study is told from the runs of its experiment, or it is said that there is none."""

from types import SimpleNamespace

import pytest

from autodepth.errors import StudyError, TrackingError
from autodepth.records.mlflow import remote_status
from autodepth.records.mlflow.payload import PRIMARY_METRIC
from autodepth.records.mlflow.remote_status import _told_by, experiment_of, tracked_study

STUDY = (
    {"autodepth.kind": "study", "autodepth.outcome": "the budget was spent"},
    {"hypervolume": 0.75, "spent_device_s": 120.0},
)
TRIALS = [
    ({"autodepth.state": "complete", "autodepth.node": "10.0.0.2"},
     {PRIMARY_METRIC: 0.9, "on_front": 1.0}),
    ({"autodepth.state": "complete", "autodepth.node": "10.0.0.2"},
     {PRIMARY_METRIC: 0.95, "on_front": 0.0}),
    ({"autodepth.state": "failed"}, {}),
    ({}, {}),
]  # fmt: skip


def test_runs_are_counted_by_state_and_node_and_the_best_is_told():
    told = _told_by("digits", [TRIALS[0], STUDY, *TRIALS[1:]])

    assert told.to_dict() == {
        "study": "digits", "outcome": "the budget was spent",
        "trials": {"complete": 2, "failed": 1, "unknown": 1}, "nodes": {"10.0.0.2": 2},
        "front": 1, "best_accuracy": 0.95, "hypervolume": 0.75, "spent_device_seconds": 120.0,
    }  # fmt: skip


def test_of_a_study_that_has_just_begun_little_is_told():
    told = _told_by("digits", [({"autodepth.kind": "study"}, {})])

    assert (told.outcome, told.trials, told.best_accuracy, told.hypervolume) == (
        None, {}, None, None,
    )  # fmt: skip


def test_a_store_without_the_study_says_so(monkeypatch):
    store = SimpleNamespace(get_experiment_by_name=lambda _: None)
    monkeypatch.setattr(remote_status, "connect", lambda _: store)
    with pytest.raises(StudyError, match="MLflow at http://host has no study 'digits'"):
        tracked_study("digits", "http://me:secret@host")
    assert experiment_of("digits", "http://host") is None


def test_a_store_that_does_not_answer_is_named_without_its_password(monkeypatch):
    def away(uri):
        raise ConnectionError(f"{uri} refused")

    monkeypatch.setattr(remote_status, "connect", away)
    with pytest.raises(TrackingError, match="MLflow must tell of the study digits") as error:
        tracked_study("digits", "http://me:secret@host")
    assert "refused" in str(error.value)
    assert "secret" not in str(error.value)
