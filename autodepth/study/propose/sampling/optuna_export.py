"""A study in Optuna's own form, for tools that read that: `optuna-dashboard sqlite:///optuna.db`.

It is written from the ledger and never read for the search. Trials enter it as they end, in that
order; the user attribute `trial` holds the number that the ledger has. What is asked of members of
the front (confirmation, controls) is no part of the search, so it is left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from autodepth.errors import StorageError
from autodepth.front.violations import violations_of
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.records.trial_record import StudyRecord, TrialRecord
from autodepth.space.domains import Dimension
from autodepth.space.search_space import SearchSpace
from autodepth.study.propose.sampling.optuna_sampler import distribution_of
from autodepth.trial.result import TrialState

_STATES = {TrialState.COMPLETE: OptunaState.COMPLETE, TrialState.STOPPED: OptunaState.PRUNED}
"""All other ends are failures to Optuna."""


def mirror_path(folder: StudyFolder) -> Path:
    """Return where the mirror of a study is, if it has one."""
    return folder.path / "optuna.db"


def write_mirror(folder: StudyFolder, *, anew: bool = False) -> int:
    """Add to the mirror what ended since it was written; make one where there is none.

    Args:
        folder: the study's.
        anew: whether to write all of it again, whatever it holds.

    Returns:
        How many trials were added.

    Raises:
        StorageError: the file cannot be written or is none of Optuna's; `anew` then helps.
    """
    path = mirror_path(folder)
    if anew:
        path.unlink(missing_ok=True)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        records, study = ledger.trials(), ledger.study
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
        try:
            return _add(storage, study, records)
        finally:
            storage.engine.dispose()
    except Exception as error:  # Optuna and SQLAlchemy each have errors of their own
        raise StorageError(
            f"{path} must be a study as Optuna keeps it, but: {str(error).splitlines()[0]}; "
            f"autodepth fsck {folder.name} --repair writes it anew"
        ) from error


def _add(
    storage: optuna.storages.RDBStorage, study: StudyRecord, records: list[TrialRecord]
) -> int:
    mirror = optuna.create_study(
        storage=storage,
        study_name=study.name,
        directions=[objective.goal for objective in study.objectives],
        load_if_exists=True,
    )
    names = [objective.name for objective in study.objectives]
    if mirror.metric_names != names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            mirror.set_metric_names(names)
    there = {trial.user_attrs["trial"] for trial in mirror.get_trials(deepcopy=False)}
    space = SearchSpace.from_dict(study.plan["space"])
    ended = [r for r in records if r.state.ended and r.of_search and r.number not in there]
    ended.sort(key=lambda record: (record.spent or 0.0, record.number))
    mirror.add_trials([_frozen(record, study, space) for record in ended])
    return len(ended)


def _frozen(record: TrialRecord, study: StudyRecord, space: SearchSpace) -> FrozenTrial:
    dimensions = {dimension.name: dimension for dimension in space.dimensions}
    distributions = {
        name: distribution
        for name in record.point
        if name != "base"  # a trial's number, told beside
        and (distribution := distribution_of(_dimension(name, dimensions))) is not None
    }
    point = None if record.result is None else record.result.point
    known = point is None or point.knows([objective.name for objective in study.objectives])
    point = point if known else None
    trial = optuna.create_trial(
        state=_STATES.get(record.state, OptunaState.FAIL) if known else OptunaState.FAIL,
        values=None if point is None else [o.value(point) for o in study.objectives],
        params={name: record.point[name] for name in distributions},
        distributions=distributions,
        constraints=None
        if point is None
        else violations_of(point, space.constraints, study.plan["unpruned"]),
        user_attrs=_attributes(record),
    )
    # Optuna's times are naive.
    trial.datetime_start = datetime.fromisoformat(record.started_at).replace(tzinfo=None)
    if record.ended_at is not None:
        trial.datetime_complete = datetime.fromisoformat(record.ended_at).replace(tzinfo=None)
    return trial


def _dimension(name: str, dimensions: Mapping[str, Dimension]) -> Dimension:
    """Return a searched setting; one of a stage or block is as that of the whole network."""
    return dimensions.get(name) or dimensions[name.rpartition(".")[0]]


def _attributes(record: TrialRecord) -> dict[str, Any]:
    told: dict[str, Any] = {
        "trial": record.number,
        "kind": record.kind,
        "state": record.state.value,
        "device_seconds": record.device_seconds,
    }
    if record.reason is not None:
        told["reason"] = record.reason
    if "base" in record.point:
        told["base"] = record.point["base"]
    if record.result is not None:
        told |= {"removed": list(record.result.removed), **record.result.point.to_dict()}
    return told
