"""The ledger shown in MLflow, which is imported only when something is sent.

Sending twice changes nothing: runs are found again by a tag, values carry the ledger's times, and
the ledger keeps how far each run was sent. So the projection can be resumed or rebuilt at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from autodepth.errors import TrackingError
from autodepth.front.selection import FrontPoint
from autodepth.policy.policy import in_full
from autodepth.records.ledger import Ledger
from autodepth.records.mlflow import payload as projection
from autodepth.records.mlflow import views as preset_view
from autodepth.records.mlflow.cursor import STUDY, Outbox, Progress
from autodepth.records.mlflow.store import SQLITE, make_store
from autodepth.records.studies import MLFLOW_ARTIFACTS, StudyFolder
from autodepth.records.trial_record import TrialRecord

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

WriteFiles = Callable[[Ledger, Path], None]
_ARTIFACT_SECONDS = 60.0  # the page of the front is 5 MB: not with every trial
_ENVIRONMENT = {  # MLflow reads these itself; what a person has set stays
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # its default waits for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Two lines per run otherwise, between the tables and JSON that stand on stdout.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# MLflow's answers when one run is at fault (a person deleted it), not the connection.
_REFUSALS = ("INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST")


def store_key(uri: str) -> str:
    """Return what the ledger calls a store: a URI may carry a password, its digest does not."""
    return hashlib.sha256(uri.encode()).hexdigest()[:16]


class MlflowSender:
    """A connection to an MLflow store over which one study is sent.

    Args:
        ledger: the study's, open for writing.
        folder: the study's.
        uri: any MLflow tracking URI.
        write_files: writes the files that go with the study's own run into a folder.

    Raises:
        TrackingError: the study's experiment was deleted in MLflow.
        MlflowException: MLflow cannot be reached.
    """

    def __init__(
        self, ledger: Ledger, folder: StudyFolder, uri: str, write_files: WriteFiles | None
    ) -> None:
        self._ledger = ledger
        self._folder = folder
        self._study = ledger.study
        self._write_files = write_files
        self._outbox = Outbox(ledger, store_key(uri))
        self._client = connect(uri)
        self.experiment = self._find_experiment(uri)
        self._front: list[FrontPoint] = []
        self._front_due = True  # it may have changed since it was sent
        self._artifacts_due = 0.0  # on the monotonic clock

    def send(self, *, final: bool) -> None:
        """Send everything new; `final` sends the front's files too, however fresh the last are.

        Raises:
            TrackingError: MLflow refused single trials; the others were sent.
            MlflowException: MLflow cannot be reached.
        """
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        # The trials are read before the front: one that ends in between waits for the next time.
        records = [self._ledger.trial(number) for number in self._outbox.pending()]
        self._front_due |= final or any(record.ended_at for record in records)
        if self._front_due:
            self._front = self._ledger.front()
        on_front = {point.trial for point in self._front}
        fallen = [trial for trial in self._outbox.on_front() if trial not in on_front]
        refused = []
        for record in [*records, *map(self._ledger.trial, fallen)]:
            try:
                self._send_trial(record, on_front=record.number in on_front)
            except MlflowException as error:
                if error.error_code not in _REFUSALS:
                    raise
                refused.append(f"trial {record.number}: {error}")
        if self._front_due:
            self._send_study(final=final)
            self._front_due = False
        if refused:
            raise TrackingError("; ".join(refused))

    def run_of(self, trial: int) -> str | None:
        """Return the run of a trial that was sent; None where it was not."""
        sent = self._outbox.progress(trial)
        return None if sent is None else sent.run_id

    def _send_trial(self, record: TrialRecord, *, on_front: bool) -> None:
        tags = projection.trial_tags(self._study, record, on_front=on_front)
        known = self._outbox.progress(record.number)
        run = known or self._find_run(f"trial-{record.number}", tags, record.started_at)
        if not known:
            self._log_dataset(run)
        epochs = self._ledger.epochs(record.number)
        curves = projection.epoch_measurements(record, epochs)
        values: list[projection.Measurement] = []
        if (
            record.ended_at
        ):  # first: the page that compares runs begins with the metric it knows first
            values += projection.final_measurements(record, on_front=on_front)
        values += [value for value in curves if value.step > run.epochs_sent]
        if values or record.ended_at or not known:
            self._log(run, values, tags, {} if known else projection.params(in_full(record.policy)))
        if record.ended_at and not run.state_sent:
            status = projection.RUN_STATUS[record.state]
            ended = projection.milliseconds(record.ended_at)
            self._client.set_terminated(run.run_id, status, ended)
        sent = Progress(
            run_id=run.run_id,
            epochs_sent=epochs[-1].step if epochs else 0,
            state_sent=record.state.value if record.ended_at else None,
            on_front=on_front if record.result else None,
        )
        if sent != known:
            self._outbox.save(record.number, sent)

    def _send_study(self, *, final: bool) -> None:
        study = self._study = self._ledger.study
        tags = projection.study_tags(study)
        known = self._outbox.progress(STUDY)
        run = known or self._find_run(study.name, tags, study.created_at)
        if not known:
            self._log_dataset(run)
            note = projection.note(
                study,
                view=preset_view.view_link(self.experiment),
                files=preset_view.files_link(self.experiment, run.run_id),
            )
            self._client.set_experiment_tag(self.experiment, "mlflow.note.content", note)
        with self._ledger.database.one_moment():  # a policy may be refused in between
            records, endings = self._ledger.trials(), self._ledger.endings()
        values = list(projection.hypervolume_curve(study, records, endings, run.epochs_sent))
        self._log(run, values, tags, {})
        if study.ended_at:
            ended = projection.milliseconds(study.ended_at)
            self._client.set_terminated(run.run_id, "FINISHED", ended)
        steps = values[-1].step if values else run.epochs_sent
        self._outbox.save(STUDY, replace(run, epochs_sent=steps))
        if final or time.monotonic() >= self._artifacts_due:
            self._send_artifacts(run.run_id)
            self._artifacts_due = time.monotonic() + _ARTIFACT_SECONDS

    def _send_artifacts(self, run_id: str) -> None:
        front = [point.to_dict() for point in self._front]
        self._client.log_text(run_id, json.dumps(front, indent=2), "front.json")
        if self._write_files:
            with tempfile.TemporaryDirectory() as place:
                self._write_files(self._ledger, Path(place))
                self._client.log_artifacts(run_id, place)
        if self._folder.space_path.exists():
            self._client.log_artifact(run_id, str(self._folder.space_path))

    def _find_experiment(self, uri: str) -> str:
        experiment = self._client.get_experiment_by_name(self._study.name)
        tags = {
            **projection.EXPERIMENT_TAGS,
            preset_view.TAG: preset_view.view_tag(self._study.plan),
        }
        if experiment is None:
            self._outbox.forget()  # whatever was sent here before is gone
            return str(
                self._client.create_experiment(
                    self._study.name, artifact_location=_artifact_location(uri), tags=tags
                )
            )
        if experiment.lifecycle_stage != "active":
            raise TrackingError(
                f"the experiment {self._study.name} must not be deleted, but it is: `mlflow "
                f"experiments restore --experiment-id {experiment.experiment_id}` brings it back"
            )
        for name, value in tags.items():  # one that an earlier version made lacks some
            if name not in experiment.tags:
                self._client.set_experiment_tag(experiment.experiment_id, name, value)
        return str(experiment.experiment_id)

    def _find_run(self, name: str, tags: Mapping[str, str], started_at: str) -> Progress:
        """Return the run with the same key, else a new one: a crash may come after creating it.

        MLflow's client asks again where an answer is lost, and to create is the one request that
        then happens twice: of several runs with the key one stays, the same for whoever looks.
        """
        key = tags["autodepth.trial_key"]
        if not (runs := self._runs_with(key)):
            started = projection.milliseconds(started_at)
            self._client.create_run(self.experiment, started, dict(tags), run_name=name)
            runs = self._runs_with(key)
        for double in runs[1:]:
            self._client.delete_run(double)
        return Progress(run_id=runs[0])

    def _runs_with(self, key: str) -> list[str]:
        wanted = f"tags.`autodepth.trial_key` = '{key}'"
        found = self._client.search_runs([self.experiment], wanted)
        return sorted(run.info.run_id for run in found)

    def _log_dataset(self, run: Progress) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415

        if (images := projection.dataset(self._study)) is None:
            return
        entity = Dataset(
            images.name, images.digest, "local", images.source, profile=images.profile
        )  # fmt: skip
        tags = [InputTag("mlflow.data.context", "training")]
        self._client.log_inputs(run.run_id, [DatasetInput(entity, tags)])

    def _log(
        self,
        run: Progress,
        values: Iterable[projection.Measurement],
        tags: Mapping[str, str],
        params: Mapping[str, str],
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415

        self._client.log_batch(
            run.run_id,
            metrics=[Metric(v.key, v.value, v.timestamp, v.step) for v in values],
            params=[Param(key, value) for key, value in params.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
            synchronous=True,
        )


def connect(uri: str) -> MlflowClient:
    """Return a client that does not wait for minutes where nothing answers."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient  # noqa: PLC0415  (3 s)

    if "MLFLOW_LOGGING_LEVEL" not in os.environ:  # else a new store tells of its tables on stderr
        logging.getLogger("mlflow").setLevel(logging.ERROR)
    make_store(uri)
    return MlflowClient(tracking_uri=uri)


def _artifact_location(uri: str) -> str | None:
    """Return the folder beside a SQLite store; a server decides for itself."""
    if not uri.startswith(SQLITE):
        return None
    return (Path(uri.removeprefix(SQLITE)).absolute().parent / MLFLOW_ARTIFACTS).as_uri()
