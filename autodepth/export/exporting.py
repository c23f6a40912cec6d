"""From a study to a bundle."""

from __future__ import annotations

from pathlib import Path

from autodepth.data.settings import Normalisation
from autodepth.errors import BundleError
from autodepth.export.bundle import Architecture, write_bundle
from autodepth.front.selection import FrontPoint, select
from autodepth.networks.catalogue import NetworkSpec
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder


def export_selected(folder: StudyFolder, wish: str, to: Path) -> FrontPoint:
    """Export one point of a study's front.

    Args:
        folder: the study.
        wish: which point, see `autodepth.front.selection.select`.
        to: the folder to write; must not exist.

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
    constants = study.plan["normalisation"]
    write_bundle(
        to,
        weights=weights,
        architecture=Architecture(
            network=NetworkSpec(**study.plan["network"]),
            removed=point.removed,
            normalisation=Normalisation(mean=tuple(constants["mean"]), std=tuple(constants["std"])),
            classes=tuple(study.plan["classes"]),
            macs=point.point.macs,
        ),
        policy=point.policy,
        record={
            "study": study.name,
            "trial": point.trial,
            "seed": study.seed,
            "selected": wish,
            "data": study.plan["data"],
            "data_fingerprint": study.plan["data_fingerprint"],
            "measured_on": "validation split",
            "point": point.point.to_dict(),
            "unpruned": study.plan["unpruned"],
            "macs_convention": "convolution and linear multiply-accumulates per image",
        },
    )
    return point
