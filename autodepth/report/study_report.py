"""Everything a report on a study says, as plain values read from its ledger."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from autodepth.front.objective import objective_values
from autodepth.policy.removal import in_units, unit_of
from autodepth.records.ledger import Ledger
from autodepth.records.trial_record import StudyRecord, TrialRecord, utc_now
from autodepth.report.analysis.attainment import Curve, hypervolume_curve
from autodepth.report.analysis.confirmed import ConfirmedMember, confirmed_front
from autodepth.report.analysis.importance import Importance, importance
from autodepth.report.analysis.sensitivity_table import criterion_of
from autodepth.report.study_status import StudyStatus, study_status
from autodepth.seeding import derive_seed


@dataclass(frozen=True, kw_only=True)
class StudyReport:
    """A study to be handed over.

    Args:
        written_at: ISO 8601, UTC.
        study: what it is, its plan included.
        status: budget, trials by state, what device time went to.
        records: all trials.
        members: the front, each beside its confirmations and controls, by MACs.
        unpruned: the control nothing was removed from; None while it is not complete.
        curve: hypervolume over device time.
        sensitivities: by criterion, the mean over parents of what each scored branch was worth,
            in means of the network's branches.
        parents: on how many parents each criterion was measured.
        survival: survival probability of every branch while each member's parent was trained.
        importance: of the searched dimensions for accuracy at equal MACs.
    """

    written_at: str
    study: StudyRecord
    status: StudyStatus
    records: tuple[TrialRecord, ...]
    members: tuple[ConfirmedMember, ...]
    unpruned: TrialRecord | None
    curve: Curve
    sensitivities: Mapping[str, Mapping[int, float]]
    parents: Mapping[str, int]
    survival: Mapping[int, tuple[float, ...]]
    importance: Importance

    @property
    def plan(self) -> Mapping[str, Any]:
        """What the study was started with."""
        return self.study.plan

    @property
    def unpruned_macs(self) -> float:
        """Multiply-accumulates of the network before anything was removed."""
        return float(self.plan["unpruned"]["macs"])


def study_report(ledger: Ledger) -> StudyReport:
    """Read a report from a ledger; one that is being written is read as it is now."""
    study, records, now = ledger.study, ledger.trials(), utc_now()
    members = sorted(confirmed_front(ledger), key=lambda member: member.point.point.macs)
    complete = [record for record in records if record.result is not None and record.of_search]
    unpruned = next((record for record in complete if record.kind == "unpruned"), None)
    by_number = {record.number: record for record in records}
    sensitivities, parents = worth_by_criterion(complete)
    return StudyReport(
        written_at=now,
        study=study,
        status=study_status(ledger, None, now),
        records=tuple(records),
        members=tuple(members),
        unpruned=unpruned,
        curve=_curve(ledger, by_number),
        sensitivities=sensitivities,
        parents=parents,
        survival={
            record.number: record.result.survival
            for member in members
            if (record := by_number[member.point.trial]).result is not None
        },
        importance=importance(records, seed=derive_seed(study.seed, "importance")),
    )


def _curve(ledger: Ledger, records: Mapping[int, TrialRecord]) -> Curve:
    points = [(spent, records[number].front_point) for number, spent in ledger.endings()]
    known = [(spent, member.point) for spent, member in points if member is not None]
    objectives = ledger.study.objectives
    values = objective_values([point for _, point in known], objectives)
    return hypervolume_curve(
        list(zip([spent for spent, _ in known], values, strict=True)), objectives
    )


def worth_by_criterion(
    complete: Sequence[TrialRecord],
) -> tuple[dict[str, dict[int, float]], dict[str, int]]:
    """Return mean worth by criterion and branch, and of how many parents it is the mean.

    Args:
        complete: trials with a result; what nothing was scored in adds nothing.
    """
    seen: dict[str, dict[tuple[tuple[int, float], ...], dict[int, float]]] = {}
    for record in complete:
        assert record.result is not None
        scores = dict(record.result.sensitivities)
        if scores and not any(map(math.isnan, scores.values())):
            # Trials of one parent share its scores to the digit: they count once.
            parents = seen.setdefault(criterion_of(record), {})
            parents[tuple(sorted(scores.items()))] = in_units(scores, unit_of(scores))
    means = {
        criterion: {
            branch: fmean(scores[branch] for scores in parents.values() if branch in scores)
            for branch in sorted({b for scores in parents.values() for b in scores})
        }
        for criterion, parents in seen.items()
    }
    return means, {criterion: len(parents) for criterion, parents in seen.items()}
