"""Warm start: policies from the front of an earlier study, to be tried first."""

from __future__ import annotations

from autodepth.errors import StudyError
from autodepth.policy.values import Scalar
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.records.trial_record import TrialRecord
from autodepth.space.domains import Fixed
from autodepth.space.search_space import SearchSpace
from autodepth.study.propose.sampling.optuna_sampler import Point
from autodepth.study.propose.start_policies import whole_name


def front_policies(study: str, space: SearchSpace) -> tuple[Point, ...]:
    """Return the policies on the front of a study as far as another space knows them.

    Only settings are taken over, no results: the other study may have other data or another
    network. What its space lacks, or has no such value of, its sampler chooses.

    Args:
        study: name of the earlier study, or `latest`.
        space: of the study to come.

    Raises:
        StudyError: there is no such study, or nothing of its front fits the space.
    """
    folder = find_study(study)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        # What goes on from a network of that study has none to go on from here.
        front = [member for member in ledger.front() if "base" not in member.policy]
        members = [ledger.trial(member.trial) for member in front]
    points = [_in_space(member, space) for member in members]
    found = [point for i, point in enumerate(points) if point and point not in points[:i]]
    if not found:
        why = "no setting of its front is searched here" if members else "its front is empty"
        raise StudyError(f"the study to start from must have policies to try, but {why}: {study}")
    return tuple(found)


def _in_space(record: TrialRecord, space: SearchSpace) -> Point:
    settings: dict[str, Scalar] = {
        name: value for name, value in record.policy.items() if not isinstance(value, dict | list)
    }
    train = record.policy["train"]
    assert isinstance(train, dict)
    settings |= {f"train.{name}": value for name, value in train.items()} | dict(record.point)
    domains = {d.name: d.domain for d in space.dimensions if not isinstance(d.domain, Fixed)}
    return {
        name: value
        for name, value in settings.items()
        if (domain := domains.get(whole_name(name))) is not None and domain.contains(value)
    }
