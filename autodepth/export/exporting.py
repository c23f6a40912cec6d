"""From a study to a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autodepth.data.settings import Normalisation
from autodepth.errors import BundleError
from autodepth.export.bundle import Architecture, write_bundle
from autodepth.front.selection import FrontPoint, select
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.weights import read_weights
from autodepth.networks.widths import changed_shapes
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.trial.result import OperatingPoint


def export_selected(
    folder: StudyFolder, wish: str, to: Path, *, own_code: bool = False
) -> FrontPoint:
    """Export one point of a study's front.

    Args:
        folder: the study.
        wish: which point, see `autodepth.front.selection.select`.
        to: the folder to write; must not exist.
        own_code: whether the network's builder may be code of one's own.

    Returns:
        The point that was exported.

    Raises:
        SelectionError: the wish cannot be read, or no point fits it.
        InputError: `to` exists.
        BundleError: the trial's weights are gone or do not give the network that was measured.
    """
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        study, front = ledger.study, ledger.front()
        point = select(front, wish)
        result = ledger.trial(point.trial).result
    if result is None or result.weights_file is None:
        raise BundleError(f"trial {point.trial} of {folder.name} kept no weights")
    weights = folder.trial_folder(point.trial) / result.weights_file
    if not weights.is_file():
        raise BundleError(f"the weights of trial {point.trial} are gone: {weights}")
    export_network(
        to,
        weights=weights,
        plan=study.plan,
        removed=point.removed,
        policy=point.policy,
        point=point.point,
        record={
            "study": study.name,
            "trial": point.trial,
            "seed": study.seed,
            "selected": wish,
        },
        own_code=own_code,
    )
    return point


def export_network(
    to: Path,
    *,
    weights: Path,
    plan: Mapping[str, Any],
    removed: tuple[int, ...],
    policy: Mapping[str, Any],
    point: OperatingPoint,
    record: Mapping[str, Any],
    own_code: bool = False,
) -> None:
    """Write the bundle of one trained network.

    Args:
        to: the folder to write; must not exist.
        weights: its weights.
        plan: network and data it comes from, as `StudyPlan.to_dict` has them.
        removed: numbers of the branches that are gone.
        policy: what was done to get it.
        point: what was measured on the validation split.
        record: where it came from.
        own_code: whether the network's builder may be code of one's own.

    Raises:
        InputError: `to` exists.
        BundleError: the weights do not give the network that was measured.
    """
    spec = NetworkSpec.from_dict(plan["network"], own_code=own_code)
    constants = plan["normalisation"]
    whole = build_network(spec)
    write_bundle(
        to,
        weights=weights,
        architecture=Architecture(
            network=spec,
            removed=removed,
            widths=changed_shapes(whole.without(removed).module, read_weights(weights)),
            normalisation=Normalisation(mean=tuple(constants["mean"]), std=tuple(constants["std"])),
            classes=tuple(plan["classes"]),
            macs=point.macs,
        ),
        policy=policy,
        record={
            **record,
            "data": plan["data"],
            "data_fingerprint": plan["data_fingerprint"],
            "measured_on": "validation split",
            "point": point.to_dict(),
            "unpruned": plan["unpruned"],
            "macs_convention": "convolution and linear multiply-accumulates per image",
        },
    )
