"""What is sent to MLflow about a study, as plain values: no MLflow here.

The shape follows what MLflow 3.17's pages do well: flat runs, few metric keys, numbers as plain
decimal text so that columns sort, final values once at step 0 so that they compare as bars.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from autodepth.data.settings import without_place
from autodepth.front.hypervolume import relative_hypervolume
from autodepth.front.objective import objective_values
from autodepth.records.trial_record import StudyRecord, TrialRecord
from autodepth.trial.result import EpochReport, OperatingPoint, TrialResult, TrialState

PRIMARY_METRIC = "final_accuracy"
# After the accuracy in the alphabet: MLflow's page of compared runs begins with the first.
REMAINING = "remaining_branches"
EXPERIMENT_TAGS = {
    "mlflow.experiment.primaryMetric.name": PRIMARY_METRIC,
    "mlflow.experiment.primaryMetric.greaterIsBetter": "True",
    # The other kind is for traces of language models. MLflow 3.17 sets it where a person chooses
    # between the two, and then goes by the address alone: `workflowType` in views.py.
    "mlflow.experimentKind": "custom_model_development",
}
_RUN_COLOUR = "mlflow.runColor"
FRONT_COLOUR, _OTHERS = "#0b63ce", "#c3c9d2"  # nearly those of the report's figures
_SPLIT = "validation_"
RUN_STATUS = {
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETE: "FINISHED",
    TrialState.FAILED: "FAILED",
    TrialState.INFEASIBLE: "FAILED",
    TrialState.STOPPED: "KILLED",
    TrialState.CANCELLED: "KILLED",
}
_LONGEST_TAG = 5000  # MLflow cuts at 8000 characters in silence
_MOST_COLUMNS = 8  # thresholds per block of a deep network would be hundreds


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One value of one metric; `timestamp` in milliseconds since 1970.

    Timestamps come from the ledger, never from the clock: a value sent twice is then the same
    value, and MLflow keeps one.
    """

    key: str
    value: float
    step: int
    timestamp: int


@dataclass(frozen=True, kw_only=True)
class DatasetInput:
    """The images that every trial of a study trained on, as MLflow lists them.

    Args:
        name: short, without a path.
        digest: begins the fingerprint of all three splits; MLflow takes 36 characters.
        source: where they came from, as JSON.
        profile: how many there are of what, as JSON.
    """

    name: str
    digest: str
    source: str
    profile: str


def dataset(study: StudyRecord) -> DatasetInput | None:
    """Return the images of a study; None for one whose plan does not say."""
    data, fingerprint = study.plan.get("data"), study.plan.get("data_fingerprint")
    if not data or not fingerprint:
        return None
    counted = {name: data.get(name) for name in ("train_images", "validation", "image_size")}
    return DatasetInput(
        name=without_place(data["name"]),
        digest=str(fingerprint)[:36],
        source=json.dumps({"name": data["name"]}),
        profile=json.dumps({**counted, "classes": len(study.plan.get("classes", ()))}),
    )


def milliseconds(time: str) -> int:
    """Return an ISO 8601 time as milliseconds since 1970."""
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def run_key(study: StudyRecord, trial: int | None = None) -> str:
    """Return the key by which a run is found again; unlike names, it is unique to a study."""
    return f"{study.name}@{study.created_at}/{'study' if trial is None else trial}"


def study_tags(study: StudyRecord) -> dict[str, str]:
    """Return the tags of the study's own run."""
    tags = {
        "autodepth.trial_key": run_key(study),
        "autodepth.study": study.name,
        "autodepth.kind": "study",
        "autodepth.seed": str(study.seed),
        _RUN_COLOUR: _OTHERS,
    }
    return tags if study.outcome is None else {**tags, "autodepth.outcome": study.outcome}


def trial_tags(study: StudyRecord, record: TrialRecord, *, on_front: bool) -> dict[str, str]:
    """Return the tags of a trial's run."""
    tags = {
        _RUN_COLOUR: FRONT_COLOUR if on_front else _OTHERS,
        "autodepth.trial_key": run_key(study, record.number),
        "autodepth.study": study.name,
        "autodepth.trial": str(record.number),
        "autodepth.state": record.state.value,
        "autodepth.kind": record.kind,
    }
    if record.reason is not None:
        tags["autodepth.reason"] = record.reason[-_LONGEST_TAG:]  # a traceback's end says most
    if record.node is not None:
        tags["autodepth.node"] = record.node
    if record.about is not None:
        tags["autodepth.about"] = f"trial-{record.about}"
        tags["autodepth.role"] = record.role or "itself, on fresh seeds"
    if record.result is not None:
        tags["autodepth.parent"] = parent_key(record, record.result)
        tags["autodepth.removed"] = " ".join(map(str, record.result.removed))[:_LONGEST_TAG]
    return tags


def parent_key(record: TrialRecord, result: TrialResult) -> str:
    """Return a key of a trial's parent, equal for trials that share it.

    A parent is what it was trained with: survival probabilities, training settings and seeds.
    """
    train = {**record.policy.get("train", {}), "fine_tune_learning_rate": None}
    content: list[Any] = [result.survival, train, record.replicate]
    if min(result.survival, default=1.0) < 1.0:
        names = ("depth_schedule", "depth_schedule_cutoff", "gate_mode", "compensation")
        content += [record.policy.get(name) for name in names]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def params(policy: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return a policy flattened to text: `train.learning_rate` -> `0.0005`."""
    flat: dict[str, str] = {}
    for name, value in policy.items():
        key = prefix + name
        if isinstance(value, Mapping):
            flat |= params(value, key + ".")
        elif isinstance(value, (list, tuple)) and 1 < len(value) <= _MOST_COLUMNS:
            flat |= {f"{key}.{index}": _plain(item) for index, item in enumerate(value, start=1)}
        elif isinstance(value, (list, tuple)):
            flat[key] = " ".join(f"{item:.4g}" for item in value)
        else:
            flat[key] = _plain(value)
    return flat


def epoch_measurements(record: TrialRecord, epochs: Sequence[EpochReport]) -> Iterator[Measurement]:
    """Yield the curves of a trial.

    Args:
        record: the trial.
        epochs: all its epochs so far; their durations, added up, date the values.
    """
    time = milliseconds(record.started_at)
    for epoch in epochs:
        time += round(epoch.seconds * 1000)
        measured = epoch.metrics or {epoch.metric: epoch.leading}
        for key, value in (  # accuracy first: with it the page that compares runs then begins
            *((f"val/{name.removeprefix(_SPLIT)}", value) for name, value in measured.items()),
            *([] if epoch.metrics else [("val/generalisation_gap", epoch.generalisation_gap)]),
            ("train/loss", epoch.train_loss),
            ("train/branches_expected", epoch.branches_expected),
            ("train/branches_computed", epoch.branches_computed),
            ("train/images_per_second", epoch.images_per_second),
        ):
            yield Measurement(key=key, value=value, step=epoch.step, timestamp=time)


def final_measurements(record: TrialRecord, *, on_front: bool) -> Iterator[Measurement]:
    """Yield the final values of an ended trial, all at step 0.

    A trial may leave the front, never return to it, and of two values at one step and time MLflow
    shows the larger: so the 0 of `on_front` is dated a millisecond after the 1.
    """
    assert record.ended_at is not None
    values: dict[str, float] = {}
    if record.result is not None:
        values |= point_metrics(record.result.point)
        values[REMAINING] = len(record.result.survival) - len(record.result.removed)
    values["trial_device_s"] = record.device_seconds
    time = milliseconds(record.ended_at)
    for key, value in values.items():
        yield Measurement(key=key, value=value, step=0, timestamp=time)
    if record.result is not None:
        time += 0 if on_front else 1
        yield Measurement(key="on_front", value=float(on_front), step=0, timestamp=time)


def point_metrics(point: OperatingPoint) -> dict[str, float]:
    """Return what a network costs and achieves, by the names that columns have.

    `final_accuracy` is the first of all metrics by the alphabet: where MLflow takes one by itself
    for an axis, it takes the first. Another task has `final_NAME` for each of its metrics.
    """
    measured = {f"final_{name.removeprefix(_SPLIT)}": v for name, v in point.metrics.items()}
    return {
        **(measured or {PRIMARY_METRIC: point.validation_accuracy}),
        "macs_m": point.macs / 1e6,
        "params_m": point.parameters / 1e6,
        "macs_effective_m": point.effective_macs / 1e6,
        "latency_ms": point.latency_ms,
        "size_mb": point.size_bytes / 1e6,
        **{name.replace("@", "_at_"): value for name, value in point.elsewhere.items()},
    }


def hypervolume_curve(
    study: StudyRecord,
    records: Sequence[TrialRecord],
    endings: Sequence[tuple[int, float]],
    after: int = 0,
) -> Iterator[Measurement]:
    """Yield the study's hypervolume and spending after each completed trial.

    Args:
        study: whose objectives to measure by.
        records: all trials, by number.
        endings: (trial, device seconds spent by then) in the order of ending.
        after: completed trials whose values are known already.
    """
    complete = [(records[number], spent) for number, spent in endings if records[number].result]
    points = objective_values([r.result.point for r, _ in complete if r.result], study.objectives)
    for step, (record, spent) in enumerate(complete[after:], start=after + 1):
        time = milliseconds(record.ended_at or record.started_at)
        known = [point for point in points[:step] if all(map(math.isfinite, point))]
        volume = relative_hypervolume(known, study.objectives)
        for key, value in (("hypervolume", volume), ("spent_device_s", spent)):
            yield Measurement(key=key, value=value, step=step, timestamp=time)


def note(study: StudyRecord, *, view: str, files: str) -> str:
    """Return the text of the experiment's page, in Markdown.

    Args:
        study: what it is.
        view: link to the ready-made charts.
        files: link to the files of the study's own run.
    """
    goals = "\n".join(
        f"- {o.goal} `{o.name}`, reference {o.reference:,.10g}" for o in study.objectives
    )
    return (
        f"**{study.name}**: a search of autodepth, seed {study.seed}, started {study.created_at}."
        f"\n\n{goals}\n\n[Accuracy against MACs, parallel coordinates, contour]({view})\n\n"
        f"Figures: [the front, what each branch is worth]({files}) (`front.html`, "
        "`sensitivity.png`), beside the front as `front.json` and the space that is searched.\n\n"
        "One run per trial. `on_front` is 1 for the trials no other dominates; compare "
        f"`{PRIMARY_METRIC}` with `macs_m`. Runs that share a trained parent share the tag "
        "`autodepth.parent`. The run named like the study has `hypervolume` over completed "
        "trials, and `spent_device_s` beside it."
    )


def _plain(value: Any) -> str:
    """Return a value as text; numbers without an exponent, since pages sort `5e-4` as text."""
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}"
    return "none" if value is None else str(value)
