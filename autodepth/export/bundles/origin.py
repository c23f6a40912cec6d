"""Where a bundle comes from: its study and its data, as far as this machine has them.

A bundle says which study and which data, and no path of the machine it was made on. Where they
are stands in the study alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autodepth.atomic import sha256_of
from autodepth.data.settings import DataSettings
from autodepth.errors import DataError, InputError, StudyError
from autodepth.export.bundles import bundle as files
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder, find_study


def study_of(folder: Path, record: Mapping[str, Any]) -> StudyFolder | None:
    """Return the study a bundle comes from; None where it is not at hand."""
    if "study" not in record:
        return None
    try:
        study = find_study(record["study"])
        with Ledger.open(study.ledger_path, read_only=True) as ledger:
            result = ledger.trial(record["trial"]).result
    except (StudyError, InputError):
        return None
    same = result is not None and result.weights_sha256 == sha256_of(folder / files.WEIGHTS)
    return study if same else None  # another one of the same name may be here


def searched_data(folder: Path) -> DataSettings:
    """Return the data a network was searched on, to be read on this machine.

    Raises:
        DataError: it is a person's own, and the study that knows where it is is not at hand.
    """
    record = files.read_record(folder)
    if (study := study_of(folder, record)) is not None:
        return DataSettings.from_dict(study.plan["data"])
    recorded = files.recorded_data(folder)
    kind, _, place = recorded.name.partition(":")
    if place:
        raise DataError(
            f"where {recorded.name} is stands in the study of {folder}, which is not here: "
            f"give --data {kind}:PATH"
        )
    return recorded
