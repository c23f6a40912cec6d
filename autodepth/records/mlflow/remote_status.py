"""A study's status from its tracking server, for hosts that do not see its folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from autodepth.errors import StudyError, TrackingError
from autodepth.records.mlflow.client import connect
from autodepth.records.mlflow.payload import PRIMARY_METRIC
from autodepth.records.mlflow.sync import without_password

_MOST_RUNS = 50_000  # MLflow gives no more at once


@dataclass(frozen=True, kw_only=True)
class TrackedStudy:
    """A study as MLflow has it, at most a few seconds behind the ledger.

    Args:
        study: its name.
        outcome: why it ended; None while it goes on or has not been heard of since it died.
        trials: how many trials are in each state.
        nodes: how many trials ran on each node of a cluster.
        front: how many trials are on the front.
        best_accuracy: highest validation accuracy, a fraction; None without a complete trial.
        hypervolume: of the front; None without a complete trial.
        spent_device_seconds: when the last trial completed; None without one.
    """

    study: str
    outcome: str | None
    trials: Mapping[str, int]
    nodes: Mapping[str, int]
    front: int
    best_accuracy: float | None
    hypervolume: float | None
    spent_device_seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return asdict(self)


def tracked_study(study: str, uri: str) -> TrackedStudy:
    """Ask a tracking server for a study.

    Args:
        study: its name, which is that of its experiment.
        uri: any MLflow tracking URI.

    Raises:
        StudyError: it has no such study.
        TrackingError: it does not answer.
    """
    with _told_plainly(study, uri):
        client = connect(uri)
        experiment = client.get_experiment_by_name(study)
        runs = []
        if experiment is not None:
            found = client.search_runs([experiment.experiment_id], max_results=_MOST_RUNS)
            runs = [(run.data.tags, run.data.metrics) for run in found]
    if not runs:
        raise StudyError(f"MLflow at {without_password(uri)} has no study {study!r}")
    return _told_by(study, runs)


def experiment_of(study: str, uri: str) -> str | None:
    """Return the id of a study's experiment; None where MLflow has none.

    Raises:
        TrackingError: it does not answer.
    """
    with _told_plainly(study, uri):
        found = connect(uri).get_experiment_by_name(study)
    return None if found is None else str(found.experiment_id)


@contextmanager
def _told_plainly(study: str, uri: str) -> Iterator[None]:
    """Turn whatever MLflow raises into an error that says where and why."""
    try:
        yield
    except Exception as error:
        told = f"{without_password(uri)}: {without_password(str(error))}"
        raise TrackingError(f"MLflow must tell of the study {study}, but {told}") from error


def _told_by(
    study: str, runs: Sequence[tuple[Mapping[str, str], Mapping[str, float]]]
) -> TrackedStudy:
    own: tuple[Mapping[str, str], Mapping[str, float]] = ({}, {})
    trials: Counter[str] = Counter()
    nodes: Counter[str] = Counter()
    for tags, metrics in runs:
        if tags.get("autodepth.kind") == "study":
            own = (tags, metrics)
            continue
        trials[tags.get("autodepth.state", "unknown")] += 1
        if node := tags.get("autodepth.node"):
            nodes[node] += 1
    return TrackedStudy(
        study=study,
        outcome=own[0].get("autodepth.outcome"),
        trials=dict(sorted(trials.items())),
        nodes=dict(sorted(nodes.items())),
        front=sum(metrics.get("on_front") == 1.0 for _, metrics in runs),
        best_accuracy=max(
            (m[PRIMARY_METRIC] for _, m in runs if PRIMARY_METRIC in m), default=None
        ),
        hypervolume=own[1].get("hypervolume"),
        spent_device_seconds=own[1].get("spent_device_s"),
    )
