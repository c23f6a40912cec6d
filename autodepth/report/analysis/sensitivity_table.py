"""What a study's trials measured of each branch: sensitivity by criterion, survival, removal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from autodepth.policy.policy import Policy
from autodepth.policy.removal import in_units, unit_of
from autodepth.records.trial_record import TrialRecord


@dataclass(frozen=True, kw_only=True)
class CriterionRow:
    """What one criterion says of the branches.

    Args:
        criterion: its name.
        trials: how many trials it rests on.
        scaled: by branch, the mean over these trials of what the branch is worth, in means of
            the network's branches; None where it was not scored.
    """

    criterion: str
    trials: int
    scaled: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class BranchTable:
    """Branches of a study's network across, what trials say of them down.

    Args:
        branches: numbers 1..L.
        trials: complete trials that were looked at.
        rows: one per criterion that any of them used, by name.
        survival: mean survival probability of each branch.
        survival_low: the least of them.
        survival_high: the greatest of them.
        removed: share of the trials in which the branch was removed.
    """

    branches: tuple[int, ...]
    trials: int
    rows: tuple[CriterionRow, ...]
    survival: tuple[float, ...]
    survival_low: tuple[float, ...]
    survival_high: tuple[float, ...]
    removed: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return asdict(self)


def branch_table(records: Sequence[TrialRecord]) -> BranchTable:
    """Put together what trials say of each branch.

    Args:
        records: trials of one network; those without a result are left out.
    """
    results = [record.result for record in records if record.result is not None]
    count = max((len(result.survival) for result in results), default=0)
    full = [result for result in results if len(result.survival) == count]
    columns = list(zip(*(result.survival for result in full), strict=True))
    return BranchTable(
        branches=tuple(range(1, count + 1)),
        trials=len(results),
        rows=tuple(_rows(records, count)),
        survival=tuple(map(fmean, columns)),
        survival_low=tuple(map(min, columns)),
        survival_high=tuple(map(max, columns)),
        removed=tuple(
            fmean(branch in result.removed for result in results) for branch in range(1, count + 1)
        ),
    )


def scaled_sensitivities(record: TrialRecord) -> dict[int, float]:
    """Return what each branch was worth in a trial, 1 being the mean; empty where none was."""
    if record.result is None:
        return {}
    scores = record.result.sensitivities
    return in_units(scores, unit_of(scores))


def _rows(records: Sequence[TrialRecord], count: int) -> list[CriterionRow]:
    by_criterion: dict[str, list[Mapping[int, float]]] = {}
    for record in records:
        if scaled := scaled_sensitivities(record):
            by_criterion.setdefault(criterion_of(record), []).append(scaled)
    return [
        CriterionRow(criterion=name, trials=len(found), scaled=tuple(_means(found, count)))
        for name, found in sorted(by_criterion.items())
    ]


def criterion_of(record: TrialRecord) -> str:
    """Return the criterion a trial scored its branches by."""
    return str(record.policy.get("criterion", Policy().criterion))


def _means(found: Sequence[Mapping[int, float]], count: int) -> list[float | None]:
    means: list[float | None] = []
    for branch in range(1, count + 1):
        values = [scaled[branch] for scaled in found if branch in scaled]
        means.append(fmean(values) if values else None)
    return means
