"""Make the plan of an existing study again, with its files where they are now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from autodepth.atomic import write_atomically
from autodepth.data.settings import Normalisation
from autodepth.errors import DataError, StudyError, WeightsError
from autodepth.records.storage import taking
from autodepth.records.studies import StudyFolder
from autodepth.service.search.requests import StudyRequest
from autodepth.space.file.space_file import load_space
from autodepth.space.file.yaml_text import write_yaml
from autodepth.space.search_space import SearchSpace
from autodepth.space.sections.section import Section
from autodepth.study.plan.make_plan import make_plan
from autodepth.study.plan.plan import PlanRequest, StudyPlan
from autodepth.study.plan.resource_request import parse_per_trial
from autodepth.trial.device.latency_table import tables_of
from autodepth.units import Budget
from autodepth.version import __version__

if TYPE_CHECKING:
    from autodepth.study.cluster.cluster import Cluster

# What a study is, by its place in the plan; what was measured by the clock is no part of it, nor
# where its files lie, nor what the plan makes of the words of a space, nor what ends a trial early.
_FINGERPRINT = {
    "data_fingerprint": "data",
    "unpruned": "network",
    "weights_sha256": "weights",
    "space": "space",
    "task": "task",
}
_RESOLVED = {
    "unpruned.latency_ms", "space.network.weights", "space.data.name", "space.data.root",
    "space.data.train_images", "space.data.validation", "space.limits",
}  # fmt: skip
_MOST_CHANGES = 10
_MOVED = {
    "data_fingerprint": ", say where it is with --data",
    "weights_sha256": ", say where they are with --weights",
}


def plan_again(
    folder: StudyFolder, limits: Budget, request: StudyRequest, *, cluster: Cluster | None
) -> StudyPlan:
    """Return the plan of a study that exists, under a budget, with what it had resolved.

    Args:
        folder: the study's.
        limits: what it may spend in all.
        request: where its files are now, and how many trials run at the same time.
        cluster: where trials run; None for this machine.

    Raises:
        StudyError: its data, network, weights or space are not what they were.
        DataError: its images cannot be read where they are looked for.
        WeightsError: nor can its weights.
    """
    before = folder.plan
    count = request.concurrency
    wanted = PlanRequest(
        budget=limits,
        concurrency=None if count == "auto" else count or before["concurrency"],
        per_trial=parse_per_trial(wished) if (wished := before.get("per_trial")) else None,
        own_code=request.own_code,
        own_task=request.own_code if request.own_task is None else request.own_task,
    )
    try:
        plan = make_plan(
            _space_again(folder, before, request),
            wanted,
            cluster=cluster,
            latency_tables=tables_of(before),
            split_rule=before["data"].get("split_rule", "position"),
        )
    except (DataError, WeightsError) as error:
        raise type(error)(f"{error}; say where files are that moved: --data, --weights") from error
    now = json.loads(json.dumps(plan.to_dict()))
    for name, what in _FINGERPRINT.items():
        if name in before and (changes := _changes(before[name], now[name], name)):
            if name == "data_fingerprint":
                changes = _changed_data(before, now) or changes
            listed = "".join(f"\n  {change}" for change in changes[:_MOST_CHANGES])
            raise StudyError(
                f"a study goes on with the {what} it began with, but the {what} of {folder.name} "
                f"changed since:{listed}\nput it back{_MOVED.get(name, '')}, or search anew: "
                f"autodepth search {folder.space_path} --start-from {folder.name} --budget ..."
            )
    plan = _normalised_as_before(plan, before)
    return _telling_versions(plan, before.get("autodepth", now["autodepth"]))


def _normalised_as_before(plan: StudyPlan, before: Mapping[str, Any]) -> StudyPlan:
    """Keep the constants a study began with: which ones `auto` means may have changed since."""
    constants = before.get("normalisation")
    if constants is None or plan.to_dict()["normalisation"] == constants:
        return plan
    kept = Normalisation(mean=tuple(constants["mean"]), std=tuple(constants["std"]))
    note = f"images are normalised as when the study began: mean {kept.mean}, std {kept.std}"
    context = replace(plan.context, normalisation=kept)
    return replace(plan, context=context, notes=(*plan.notes, note))


def _space_again(
    folder: StudyFolder, before: Mapping[str, Any], request: StudyRequest
) -> SearchSpace:
    """Return the space of a study with what it had resolved, its files where they are now.

    Where they are is what a person says now, else what the study's space file says if somebody
    changed that, else where they were. That they are the same, their content tells.
    """
    resolved = before["data"]
    changes: dict[str, Any] = {
        f"data.{name}": resolved[name]
        for name in ("train_images", "validation")
        if name in resolved  # a task of one's own has examples of its own
    }
    written = load_space(folder.space_path).network.weights
    searched = before.get("space", {}).get("network", {}).get("weights")
    if request.weights is not None:
        changes["network.weights"] = str(request.weights)
    elif before["weights"] is not None and written in {None, searched}:
        changes["network.weights"] = before["weights"]
    if request.data is not None:
        changes["data.name"] = request.data
    overrides = [f"{path}={json.dumps(value)}" for path, value in changes.items()]
    return load_space(folder.space_path, overrides)


def _changed_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Describe how data changed: classes and numbers of images."""
    told = {"classes": "classes", "images": "images"}
    return [
        change
        for name, what in told.items()
        if name in before
        for change in _changes(before[name], now[name], what)
    ]


def _telling_versions(plan: StudyPlan, begun: str) -> StudyPlan:
    if begun == __version__:
        return plan
    note = f"autodepth {begun} began this study, and {__version__} goes on with it"
    return replace(plan, notes=(*plan.notes, note))


def _changes(before: Any, now: Any, name: str) -> list[str]:
    """Return what differs, one `path: before -> now` each."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            change
            for key in sorted(before.keys() | now.keys())
            if f"{name}.{key}".partition("@")[0] not in _RESOLVED
            for change in _changes(before.get(key), now.get(key), f"{name}.{key}")
        ]
    return [] if before == now else [f"{name.removeprefix('space.')}: {before} -> {now}"]


def keep_paths(folder: StudyFolder, plan: StudyPlan) -> None:
    """Write into a study's space file where its files are now, if it says another place."""
    told = load_space(folder.space_path)
    data = told.data.model_copy(update=_paths(plan.space.data, told.data))
    network = told.network.model_copy(update=_paths(plan.space.network, told.network))
    if (data, network) != (told.data, told.network):
        moved = replace(told, data=data, network=network)
        with taking(folder.path):
            write_atomically(folder.space_path, write_yaml(moved.to_dict()))


def _paths(now: Section, told: Section) -> dict[str, Any]:
    """Return the paths of a section that differ from those given; `folder:PATH` is a name."""
    names = {"name", "root", "weights"} & now.model_fields_set
    return {name: value for name in names if (value := getattr(now, name)) != getattr(told, name)}
