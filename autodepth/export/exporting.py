"""From a study to a bundle."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autodepth.atomic import sha256_of
from autodepth.data.load import ImageData, load_data
from autodepth.data.settings import DataSettings, Normalisation, without_place
from autodepth.errors import BundleError, DataError, InputError
from autodepth.export.bundles.architecture import Architecture
from autodepth.export.writing import (
    FORMATS,
    KNOWN_FORMATS,
    Format,
    Tell,
    refuse_existing,
    write_bundle,
)
from autodepth.front.selection import FrontPoint, select
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.widths import changed_shapes
from autodepth.networks.weights.own_files import read_saved
from autodepth.policy.policy import Policy
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.records.trial_record import confirmed_means
from autodepth.space.objectives import LATENCY
from autodepth.tasks.own_task import TaskSpec
from autodepth.trial.device.latency_table import covers, tables_of
from autodepth.trial.result import TrialResult


@dataclass(frozen=True, kw_only=True)
class Export:
    """One network that was exported.

    Args:
        wish: what it was selected by.
        folder: where it is.
        point: which point of the front it is.
    """

    wish: str
    folder: Path
    point: FrontPoint


def export_wishes(
    folder: StudyFolder,
    wishes: Sequence[str],
    to: Path,
    *,
    own_code: bool = False,
    formats: Sequence[Format] = FORMATS,
    tell: Tell = lambda _: None,
) -> list[Export]:
    """Export one point of a study's front per wish; nothing is written if a wish has none.

    Args:
        folder: the study.
        wishes: which points, see `autodepth.front.selection.select`.
        to: the folder to write for one wish; for several, each has its own folder below it.
        own_code: whether the network's builder may be code of one's own.
        formats: what to write besides weights and architecture.
        tell: told of every file that was verified.

    Raises:
        SelectionError: a wish cannot be read, or no point fits it.
        InputError: a folder exists, or two wishes would share one.
        BundleError: a trial's weights are gone, or a file is not the network that was searched.
    """
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        front, confirmed = ledger.front(), confirmed_means(ledger.trials())
    places = [to] if len(wishes) == 1 else [to / _folder_name(wish) for wish in wishes]
    if len(set(places)) < len(places):
        raise InputError(f"every selection must be another one, but got {', '.join(wishes)}")
    for place, wish in zip(places, wishes, strict=True):
        select(front, wish, confirmed)
        refuse_existing(place)
    exports = []
    for place, wish in zip(places, wishes, strict=True):
        if len(wishes) > 1:
            tell(f"{place}:")
        point = export_selected(folder, wish, place, own_code=own_code, formats=formats, tell=tell)
        exports.append(Export(wish=wish, folder=place, point=point))
    return exports


def _folder_name(wish: str) -> str:
    """Return a wish as the name of a folder: `accuracy>=0.97` as `accuracy-at-least-0.97`."""
    words = wish.replace("<=", "-at-most-").replace(">=", "-at-least-")
    return re.sub(r"[^A-Za-z0-9._]+", "-", words).strip("-.")


def export_selected(
    folder: StudyFolder,
    wish: str,
    to: Path,
    *,
    own_code: bool = False,
    formats: Sequence[Format] = FORMATS,
    tell: Tell = lambda _: None,
) -> FrontPoint:
    """Export one point of a study's front.

    Args:
        folder: the study.
        wish: which point, see `autodepth.front.selection.select`.
        to: the folder to write; must not exist.
        own_code: whether the network's builder may be code of one's own.
        formats: what to write besides weights and architecture.
        tell: told of every file that was verified.

    Returns:
        The point that was exported.

    Raises:
        SelectionError: the wish cannot be read, or no point fits it.
        InputError: `to` exists.
        BundleError: the trial's weights are gone, or a file is not the network that was searched.
    """
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        study, front = ledger.study, ledger.front()
        point = select(front, wish, confirmed_means(ledger.trials()))
        result = ledger.trial(point.trial).result
        confirmed = [
            record.result.point.leading
            for record in ledger.trials()
            if record.kind == "confirm" and record.about == point.trial and record.result
        ]
    if result is None or result.weights_file is None:
        raise BundleError(f"trial {point.trial} of {folder.name} kept no weights")
    weights = folder.trial_folder(point.trial) / result.weights_file
    if not weights.is_file():
        raise BundleError(f"the weights of trial {point.trial} are gone: {weights}")
    if result.weights_sha256 and sha256_of(weights) != result.weights_sha256:
        raise BundleError(
            f"the weights of trial {point.trial} must be those it was measured with, but {weights} "
            f"changed since: `autodepth fsck {folder.name}` tells what else did"
        )
    export_network(
        to,
        weights=weights,
        plan=study.plan,
        result=result,
        policy=point.policy,
        record={
            "study": study.name,
            "trial": point.trial,
            "seed": study.seed,
            "selected": wish,
            "confirmed": confirmed,
        },
        images=folder.images_path.read_bytes() if folder.images_path.exists() else None,
        own_code=own_code,
        formats=formats,
        tell=tell,
    )
    return point


def export_network(  # noqa: PLR0913 - what a bundle is made of
    to: Path,
    *,
    weights: Path,
    plan: Mapping[str, Any],
    result: TrialResult,
    policy: Mapping[str, Any],
    record: Mapping[str, Any],
    images: bytes | None = None,
    own_code: bool = False,
    formats: Sequence[Format] = FORMATS,
    whole: bool = True,
    tell: Tell = lambda _: None,
) -> None:
    """Write the bundle of one trained network.

    Args:
        to: the folder to write; must not exist.
        weights: its weights.
        plan: network and data it comes from, as `StudyPlan.to_dict` has them.
        result: what became of it, measured on the validation split.
        policy: what was done to get it.
        record: where it came from.
        images: which images it is of, as of `write_bundle`.
        own_code: whether the network's builder may be code of one's own.
        formats: what to write besides weights and architecture.
        whole: whether a format that fails leaves no folder, as of `write_bundle`.
        tell: told of every file that was verified.

    Raises:
        InputError: `to` exists.
        BundleError: a file is not the network that was measured.
    """
    spec = NetworkSpec.from_dict(plan["network"], own_code=own_code)
    learns = TaskSpec.from_dict(plan.get("task"))
    if policy.get("quantise", "none") == "int8":
        formats = tuple(name for name in KNOWN_FORMATS if name in {*formats, "onnx", "int8"})
    if "int8" in formats and not learns.is_classification:
        raise InputError(f"int8 is made for classification alone, but the task is {learns.name}")
    constants = plan["normalisation"]
    predicted = _predicted_latencies(plan, result, policy)
    smaller = build_network(spec).without(result.removed)
    write_bundle(
        to,
        weights=weights,
        architecture=Architecture(
            network=spec,
            removed=result.removed,
            widths=changed_shapes(smaller.module, read_saved(weights)),
            normalisation=Normalisation(mean=tuple(constants["mean"]), std=tuple(constants["std"])),
            classes=tuple(plan["classes"]),
            macs=result.point.macs,
            learns=learns,
        ),
        policy=policy,
        record={
            **record,
            "data": _without_places(plan["data"]),
            "data_fingerprint": plan["data_fingerprint"],
            **({} if learns.is_plain else {"task": plan["task"]}),
            "measured_on": "validation split",
            "point": result.point.to_dict(),
            "parent_accuracy": result.parent_accuracy,
            "origins": [step.origin for step in Policy.from_dict(dict(policy)).chain],
            "reached": {name: list(two) for name, two in result.reached.items()},
            "unpruned": plan["unpruned"],
            "predicted_latency_ms": predicted.get(LATENCY),
            "predicted": {metric: ms for metric, ms in predicted.items() if metric != LATENCY},
            # Studies of earlier versions recorded neither.
            "hardware": plan.get("hardware"),
            "threads": plan.get("threads"),
            "macs_convention": "convolution and linear multiply-accumulates per image",
        },
        formats=formats,
        data=_same_data(plan) if "int8" in formats else None,
        images=images,
        whole=whole,
        tell=tell,
    )


def _without_places(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return which data it was, not where: a bundle that is handed on tells no paths of ours."""
    kept = {key: value for key, value in data.items() if key != "root"}
    return {**kept, "name": without_place(data["name"])}


def _predicted_latencies(
    plan: Mapping[str, Any], result: TrialResult, policy: Mapping[str, Any]
) -> dict[str, float]:
    """Return what the study's tables of branches predicted, by metric; none where they cannot."""
    if not covers(policy):
        return {}
    sparsity, own = float(policy.get("filter_sparsity", 0.0)), result.own_widths(policy)
    tables = tables_of(plan)
    return {m: table.predict(result.removed, sparsity, own) for m, table in tables.items()}


def _same_data(plan: Mapping[str, Any]) -> ImageData:
    """Return the images of a plan.

    Raises:
        DataError: they are gone, or are others than those.
    """
    data = load_data(DataSettings.from_dict(plan["data"]), trust=True)
    if data.fingerprint != plan["data_fingerprint"]:
        raise DataError(
            f"int8 is calibrated by the images of the search, but {data.settings.name} has changed"
        )
    return data
