"""A study arrives in a real MLflow store whole and once, and MLflow never holds it up."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autodepth.errors import StudyError, TrackingError
from autodepth.records.ledger import Ledger
from autodepth.records.mlflow.payload import FRONT_COLOUR
from autodepth.records.mlflow.remote_status import tracked_study
from autodepth.records.mlflow.sync import Tracker, default_tracking_uri, sync_study
from autodepth.records.studies import StudyFolder, create_study_folder
from autodepth.records.trial_record import StudyRecord
from autodepth.trial.result import EpochReport, TrialResult, TrialState

pytestmark = [
    # MLflow 3.17 beside SQLAlchemy 2.1; a person never sees it, it is a DeprecationWarning.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
]
EPOCH = EpochReport(
    phase="parent",
    step=1,
    train_loss=1.5,
    train_accuracy=0.65,
    validation_accuracy=0.4,
    branches_expected=6.75,
    branches_computed=6.5,
    gradient_norms={1: 0.5, 9: 0.25},
    images_per_second=800.0,
    seconds=0.25,
)


def test_a_policy_refused_while_the_study_is_sent_does_not_stop_the_sending(
    folder: StudyFolder, policy: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Ledger.endings

    def refused_just_before(ledger: Ledger) -> list[tuple[int, float]]:
        with Ledger.open(folder.ledger_path) as driver:
            number = driver.start_trial("search", {}, policy)
            driver.end_trial(number, TrialState.INFEASIBLE, "cannot keep macs <= 1%", 0.0)
        return read(ledger)

    monkeypatch.setattr(Ledger, "endings", refused_just_before)
    sync_study(folder)  # raises where the two were read at two moments


@pytest.fixture
def folder(
    home: Path,
    make_study: Callable[..., StudyRecord],
    make_result: Callable[..., TrialResult],
    policy: dict[str, object],
) -> StudyFolder:
    """A study with two complete trials of which the first leads, a failed and a cancelled one."""
    folder = create_study_folder("digits")
    folder.space_path.write_text("version: 1\n")
    study = make_study()
    images = {"name": "folder:/home/of/photos", "train_images": 80, "validation": 20}
    plan = {**study.plan, "data": images, "data_fingerprint": "f" * 64, "classes": ["a", "b"]}
    with Ledger.create(folder.ledger_path, replace(study, plan=plan)) as ledger:
        for accuracy, kind in ((0.9, "unpruned"), (0.8, "search")):
            number = ledger.start_trial(kind, {}, policy)
            for step in (1, 2, 3):
                ledger.record([(number, replace(EPOCH, step=step))])
            ledger.complete_trial(number, make_result(accuracy), 5.0)
        for state in (TrialState.FAILED, TrialState.CANCELLED):
            ledger.end_trial(ledger.start_trial("search", {}, policy), state, "no luck", 1.0)
    return folder


def connect(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


def runs_by_name(uri: str) -> dict[str, Any]:
    client = connect(uri)
    runs = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    names = {run.info.run_name: run for run in runs}
    assert len(names) == len(runs)
    return names


def test_a_study_is_in_mlflow_whole_and_once(
    folder: StudyFolder, make_result: Callable[..., TrialResult], capfd: pytest.CaptureFixture[str]
) -> None:
    """Through a tracker, a second tracker after a crash, and a rebuild."""

    def files(ledger: Ledger, place: Path) -> None:
        (place / "front.html").write_text(f"<h1>{ledger.study.name}</h1>")

    uri = default_tracking_uri(folder.path.parent)
    assert Tracker(folder, write_files=files).close(timeout=120) == 0
    assert capfd.readouterr().err == ""
    first = runs_by_name(uri)
    assert set(first) == {"digits", "trial-0", "trial-1", "trial-2", "trial-3"}
    assert first["trial-0"].data.metrics == {
        "train/loss": 1.5,
        "val/accuracy": 0.4,
        "val/generalisation_gap": 0.25,
        "train/branches_expected": 6.75,
        "train/branches_computed": 6.5,
        "train/images_per_second": 800.0,
        "final_accuracy": 0.9,
        "macs_m": 20.0,
        "remaining_branches": 1.0,
        "macs_effective_m": 20.0,
        "params_m": 0.2,
        "latency_ms": 2.5,
        "size_mb": 0.81,
        "trial_device_s": 5.0,
        "on_front": 1.0,
    }
    # MLflow's page that compares runs begins with these: the first told, the first by the alphabet.
    assert next(iter(first["trial-0"].data.metrics)) in {"val/accuracy", "final_accuracy"}
    assert min(first["trial-0"].data.metrics) == "final_accuracy"
    (images,) = [given.dataset for given in first["trial-0"].inputs.dataset_inputs]
    assert (images.name, images.digest) == ("folder:photos", "f" * 36)
    assert json.loads(images.profile)["classes"] == 2
    assert first["trial-0"].data.params["train.weight_decay"] == "0.0005"
    assert first["trial-0"].data.tags["autodepth.kind"] == "unpruned"
    parents = [first[f"trial-{i}"].data.tags.get("autodepth.parent") for i in range(4)]
    assert parents[0] == parents[1] is not None  # one training for both
    assert parents[2:] == [None, None]
    assert first["trial-2"].data.tags["autodepth.reason"] == "no luck"
    assert [first[f"trial-{i}"].info.status for i in range(4)] == [
        "FINISHED", "FINISHED", "FAILED", "KILLED",
    ]  # fmt: skip
    assert first["trial-1"].data.metrics["on_front"] == 0.0

    # The driver goes on after a crash: a better trial pushes the leader off the front.
    with Ledger.open(folder.ledger_path) as ledger:
        tracker = Tracker(folder, write_files=files)
        number = ledger.start_trial("search", {}, {})
        ledger.complete_trial(number, make_result(0.95, 10_000_000), 5.0)
        ledger.end_study("budget spent")
        assert tracker.close(timeout=120) == 0
    # All of it again changes nothing.
    assert sync_study(folder, write_files=files) == 5
    second = runs_by_name(uri)
    assert {name: run.info.run_id for name, run in first.items()}.items() <= {
        name: run.info.run_id for name, run in second.items()
    }.items()
    assert second["trial-0"].data.metrics["on_front"] == 0.0
    assert second["trial-4"].data.metrics["on_front"] == 1.0
    assert second["digits"].info.status == "FINISHED"
    assert second["digits"].data.metrics["spent_device_s"] == 17.0

    client = connect(uri)
    history = client.get_metric_history(second["trial-0"].info.run_id, "train/loss")
    assert [metric.step for metric in history] == [1, 2, 3]
    study_run = second["digits"].info.run_id
    volumes = client.get_metric_history(study_run, "hypervolume")
    assert [metric.step for metric in volumes] == [1, 2, 3]
    assert volumes[-1].value == pytest.approx(0.95 * 0.75)
    assert {item.path for item in client.list_artifacts(study_run)} == {
        "front.html",
        "front.json",
        "space.yaml",
    }
    front = Path(client.download_artifacts(study_run, "front.json"))
    assert [point["trial"] for point in json.loads(front.read_text())] == [4]
    assert (folder.path.parent / "mlartifacts").is_dir()
    note = client.get_experiment_by_name("digits").tags["mlflow.note.content"]
    assert f"/runs/{study_run}/artifacts" in note
    assert [
        name for name, run in second.items() if run.data.tags["mlflow.runColor"] == FRONT_COLOUR
    ] == ["trial-4"]


def test_an_experiment_of_before_becomes_one_of_machine_learning_and_keeps_what_a_person_chose(
    folder: StudyFolder,
) -> None:
    client = connect(uri := default_tracking_uri(folder.path.parent))
    metric = "mlflow.experiment.primaryMetric.name"
    place = (folder.path.parent / "artifacts").as_uri()
    client.create_experiment("digits", place, {metric: "macs_m"})
    sync_study(folder)
    tags = client.get_experiment_by_name("digits").tags

    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert tags[metric] == "macs_m"
    assert "mlflow.sharedViewState.autodepth" in tags
    tracker = Tracker(folder, tracking_uri=uri)
    tracker.close()
    assert tracker.charts() is None  # a file has no address
    tracker.tracking_uri = "http://me:secret@host"
    assert str(tracker.charts()).startswith("http://host/#/experiments/1/")


def test_a_server_that_never_answers_holds_nothing_up(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "600")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        uri = f"http://me:secret@127.0.0.1:{deaf.getsockname()[1]}"
        tracker = Tracker(folder, tracking_uri=uri)
        with Ledger.open(folder.ledger_path) as ledger:
            ledger.start_trial("search", {}, {})
        assert tracker.close(timeout=0.5) == 5
        assert tracker._thread.is_alive()  # it waits for an answer, and nobody for it
    tracker._thread.join(30)  # the connection is gone
    assert not tracker._thread.is_alive()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        uri = f"http://me:secret@127.0.0.1:{deaf.getsockname()[1]}"
        with caplog.at_level(logging.WARNING), pytest.raises(TrackingError, match="digits, but"):
            sync_study(folder, uri)
    messages = [record.getMessage() for record in caplog.records]
    assert len([text for text in messages if "does not take the trials" in text]) == 1
    assert "secret" not in caplog.text


def test_a_run_that_a_person_deleted_is_left_alone_and_named(folder: StudyFolder) -> None:
    uri = default_tracking_uri(folder.path.parent)
    with Ledger.open(folder.ledger_path) as ledger:
        running = ledger.start_trial("search", {}, {})
        assert Tracker(folder).close(timeout=120) == 1  # it still runs
        deleted = runs_by_name(uri)[f"trial-{running}"].info.run_id
        connect(uri).delete_run(deleted)
        ledger.end_trial(running, TrialState.FAILED, "no luck", 1.0)
        other = ledger.start_trial("search", {}, {})
        ledger.end_trial(other, TrialState.FAILED, "no luck", 1.0)
    assert Tracker(folder).close(timeout=120) == 1
    assert f"trial-{other}" in runs_by_name(uri)
    assert sync_study(folder) == 6
    assert f"trial-{running}" in runs_by_name(uri)


def test_of_runs_that_were_made_twice_one_stays_and_has_everything(folder: StudyFolder) -> None:
    """As MLflow's client does where the answer to its first attempt is lost."""
    uri = default_tracking_uri(folder.path.parent)
    assert Tracker(folder).close(timeout=120) == 0
    first = runs_by_name(uri)["trial-0"]
    tags = {key: value for key, value in first.data.tags.items() if key.startswith("autodepth.")}
    info = first.info
    connect(uri).create_run(info.experiment_id, info.start_time, tags, run_name=info.run_name)
    assert sync_study(folder) == 4
    left = runs_by_name(uri)["trial-0"]  # which makes sure that there is one

    assert left.data.metrics == first.data.metrics
    assert left.data.params == first.data.params
    assert left.info.status == "FINISHED"


def test_a_study_is_told_from_its_store_alone(
    make_recorded: Callable[..., StudyFolder], tmp_path: Path
) -> None:
    """Where its folder is not: counts, the front, and how it ended."""
    folder = make_recorded("told", [(0.9, 30_000_000, 5.0), (None, 0, 1.0), (0.8, 9_000_000, 5.0)])
    uri = f"sqlite:///{tmp_path}/elsewhere.db"
    with Ledger.open(folder.ledger_path) as ledger:
        ledger.record_node(2, "10.0.0.2")
    sync_study(folder, uri)
    found = tracked_study("told", uri)

    assert found.trials == {"complete": 2, "failed": 1}
    assert (found.front, found.nodes) == (2, {"10.0.0.2": 1})
    assert (found.outcome, found.best_accuracy) == ("the budget was spent", 0.9)
    assert found.spent_device_seconds == 11.0
    with pytest.raises(StudyError, match="has no study 'unknown'"):
        tracked_study("unknown", uri)
