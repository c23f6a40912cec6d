"""What the page is told, as plain values fit for JSON. Every number comes from `report`."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from autodepth.dashboard.study_view import Snapshot, StudyView
from autodepth.errors import InputError
from autodepth.front.selection import best_first, select
from autodepth.records.ledger import Ledger
from autodepth.records.mlflow.payload import params
from autodepth.records.studies import HOME_VARIABLE, studies_root
from autodepth.records.trial_record import StudyRecord, TrialRecord, confirmed_means, utc_now
from autodepth.report.analysis.burn_down import burn_down, ends_at
from autodepth.report.analysis.sensitivity_table import (
    branch_table,
    criterion_of,
    scaled_sensitivities,
)
from autodepth.report.figures.branch_strip import Branch, branch_strip
from autodepth.report.figures.front_figure import axes_of, axis_title, axis_unit
from autodepth.report.lineage import short_origin
from autodepth.report.study_status import study_status
from autodepth.report.trial_explanation import explain_trial
from autodepth.space.objectives import METRICS, is_at
from autodepth.trial.result import ACCURACY, EpochReport

Answer = dict[str, Any]
_CURVES = ("phase", "step", "train_loss", "train_accuracy", "validation_accuracy")


def trials_answer(found: Snapshot, instance: str, revision: int) -> Answer:
    """Return the trials that changed, in columns: a tenth of the text that rows would be."""
    records = found.since(instance, revision)
    across, up = axes_of(found.study.objectives)
    names, leading = _metrics(found.study), _leading(found.study)
    return {
        "instance": found.instance,
        "revision": found.revision,
        "whole": len(records) == len(found.records),
        "axes": {"x": across, "y": up},
        "objectives": [objective.to_dict() for objective in found.study.objectives],
        "metrics": {name: axis_title(name) for name in names},
        "leading": leading,
        "knee": _knee(found),
        "whole_macs": found.study.plan.get("unpruned", {}).get("macs"),
        "front": [m.trial for m in best_first(found.front, confirmed_means(found.records))],
        "confirmed": {
            str(member.point.trial): member.accuracy.to_dict()
            for member in found.members
            if member.accuracy is not None
        },
        "accuracy_unit": axis_unit(leading["name"]),
        "columns": _columns(records, names),
        "dimensions": _dimensions(records),
    }


def _knee(found: Snapshot) -> int | None:
    """Return the trial that `export --select knee` takes, None where there is no front yet."""
    if not found.front:
        return None
    return select(found.front, "knee", confirmed_means(found.records)).trial


def front_answer(found: Snapshot) -> list[Answer]:
    """Return the front, a member each, as `front --json` does."""
    members = {member.point.trial: member for member in found.members}
    told = []
    for point in found.front:
        member = members.get(point.trial)
        tried = member is not None and (member.accuracy is not None or member.replicates.failed)
        confirmed = {"confirmed": member.to_dict()["confirmed"]} if member and tried else {}
        told.append({**point.to_dict(), **confirmed})
    return told


def controls_answer(found: Snapshot) -> list[Answer]:
    """Return how members of the front did on fresh seeds and beside controls, as `controls`."""
    return [member.to_dict() for member in found.members]


def front_columns_answer(found: Snapshot) -> Answer:
    """Return the front alone, in columns, to draw another study's beside one's own."""
    records = [found.records[member.trial] for member in found.front]
    return {"columns": _columns(records, _metrics(found.study))}


def status_answer(view: StudyView, found: Snapshot) -> Answer:
    """Return a study's status, and how its budget burned down."""
    driver, now = view.driver(), utc_now()
    with Ledger.open(view.folder.ledger_path, read_only=True) as ledger:
        status = study_status(ledger, driver, now, found.records)
        burned = burn_down(ledger, found.records)
    return {
        **status.to_dict(),
        "state": status.state,
        "now": now,
        "ends_at": ends_at(now, status.seconds_left) if driver else None,
        "burn_down": burned.to_dict(),
    }


def branches_answer(found: Snapshot, wanted: Collection[int] | None) -> Answer:
    """Return what trials measured of each branch.

    Args:
        found: the study.
        wanted: numbers of the trials to look at; None for all of the search.
    """
    if wanted is None:
        records = [r for r in found.records if r.kind in {"search", "unpruned"}]
    else:
        records = [record for record in found.records if record.number in wanted]
    return branch_table(records).to_dict()


def trial_answer(view: StudyView, found: Snapshot, number: int) -> Answer:
    """Return everything about one trial that needs no network to be built.

    Raises:
        InputError: there is no such trial.
    """
    with Ledger.open(view.folder.ledger_path, read_only=True) as ledger:
        told = explain_trial(ledger, number)
    record, result = told.record, told.record.result
    member = next((m for m in found.members if m.point.trial == number), None)
    kept = _weights(view, record) is not None
    return {
        **told.to_dict(),
        "epochs": _curves(told.epochs),
        "dominated_by": [better.trial for better in told.dominated_by],
        "policy": dict(record.policy),
        "settings": params(record.policy),
        "searched": sorted(record.point),
        "blocks": [block.to_dict() for block in branch_strip(record, (), None)],
        "criterion": criterion_of(record),
        "sensitivities": {str(b): score for b, score in scaled_sensitivities(record).items()},
        "survival": [] if result is None else list(result.survival),
        "accuracies": _accuracies(record),
        "leading": _leading(found.study),
        "device_seconds": record.device_seconds,
        "confirmed": None if member is None else member.to_dict(),
        "export": export_command(view, found, number) if told.on_front and kept else None,
        "weights_kept": kept,
    }


def blocks_answer(
    view: StudyView, found: Snapshot, number: int, branches: Sequence[Branch]
) -> Answer:
    """Return the blocks of a trial's network, with their widths.

    Args:
        view: the study's folder.
        found: the study.
        number: the trial.
        branches: of the unpruned network; empty where they are not known.

    Raises:
        InputError: there is no such trial.
    """
    record = _record(found, number)
    blocks = branch_strip(record, branches, _weights(view, record))
    return {"blocks": [block.to_dict() for block in blocks]}


def export_command(view: StudyView, found: Snapshot, number: int) -> str:
    """Return the command that exports a trial's network, for a shell in the server's folder."""
    name = view.folder.name
    words = ["autodepth", "export", name, "--select", f"trial:{number}"]
    words += ["--to", f"exports/{name}-trial-{number}"]
    builder, called, _ = str(found.study.plan["network"]["name"]).partition(":")
    if (called and builder not in {"torchvision", "timm", "hf"}) or "task" in found.study.plan:
        words.append("--own-code")
    home = os.environ.get(HOME_VARIABLE)
    place = f"{HOME_VARIABLE}={shlex.quote(str(studies_root()))} " if home else ""
    return place + shlex.join(words)


def _record(found: Snapshot, number: int) -> TrialRecord:
    if not 0 <= number < len(found.records):
        raise InputError(
            f"the study has {len(found.records)} trials, numbered from 0, but got {number}"
        )
    return found.records[number]


def _weights(view: StudyView, record: TrialRecord) -> Path | None:
    """Return a trial's weights file; None where it is gone, as off the front."""
    if record.result is None or record.result.weights_file is None:
        return None
    file = view.folder.trial_folder(record.number) / record.result.weights_file
    return file if file.is_file() else None


def _leading(study: StudyRecord) -> dict[str, str]:
    """Return name, head of a column and unit of the metric that leads the search."""
    task = study.plan.get("task")
    if task is None:
        return {"name": ACCURACY, "title": "accuracy", "unit": "%"}
    name, metric = next(iter(task["metrics"].items()))
    return {"name": f"validation_{name}", "title": name, "unit": metric["unit"]}


def _metrics(study: StudyRecord) -> list[str]:
    """Return what networks are measured by."""
    at = [name for name in study.plan["unpruned"] if is_at(name)]
    task = study.plan.get("task")
    if task is None:
        return [*METRICS, *at]
    others = [*(name for name in METRICS if name != ACCURACY), *at]
    return [*(f"validation_{name}" for name in task["metrics"]), *others]


def _columns(records: Sequence[TrialRecord], names: Sequence[str]) -> Answer:
    metrics: dict[str, list[float | None]] = {name: [] for name in names}
    units = {name: axis_unit(name) for name in names}
    for record in records:
        for name, values in metrics.items():
            point = None if record.result is None else record.result.point
            values.append(None if point is None else _plain(point.value(name) * units[name]))
    return {
        "number": [record.number for record in records],
        "kind": [record.kind for record in records],
        "state": [record.state.value for record in records],
        "role": [record.role for record in records],
        "about": [record.about for record in records],
        "origin": [short_origin(record.policy) for record in records],
        "int8": [record.in_eight_bits for record in records],
        "within": [record.reason is None for record in records],
        "removed": [None if r.result is None else len(r.result.removed) for r in records],
        **metrics,
    }


def _dimensions(records: Sequence[TrialRecord]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for record in records for name in record.point)
    return {name: [_plain(record.point.get(name)) for record in records] for name in names}


def _plain(value: Any) -> Any:
    """Return a searched value as a number or text; what is neither is told as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return " ".join(map(str, value)) if isinstance(value, Sequence) else str(value)


def _curves(epochs: Sequence[EpochReport]) -> dict[str, list[Any]]:
    curves = {name: [_plain(getattr(epoch, name)) for epoch in epochs] for name in _CURVES}
    return curves | {ACCURACY: [_plain(epoch.leading) for epoch in epochs]}


def _accuracies(record: TrialRecord) -> Mapping[str, float]:
    result = record.result
    if result is None:
        return {}
    return {
        "parent": result.parent_accuracy,
        "pruned": result.pruned_accuracy,
        "final": result.point.leading,
    }
