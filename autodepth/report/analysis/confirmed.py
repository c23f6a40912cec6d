"""The front as fresh seeds confirm it, each member beside its controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from autodepth.front.selection import FrontPoint, best_first
from autodepth.front.verdict import Comparison, Spread, compare, spread
from autodepth.records.ledger import Ledger
from autodepth.records.trial_record import TrialRecord, confirmed_means
from autodepth.trial.result import TrialState


@dataclass(frozen=True, kw_only=True)
class Replicates:
    """Trials of one policy on fresh seeds.

    Args:
        accuracy: their leading metric (validation accuracy, fractions); None while none is
            complete.
        macs: mean of their MACs, since other branches may go on other seeds; None as `accuracy`.
        failed: seeds without a result, because training diverged or failed.
    """

    accuracy: Spread | None
    macs: float | None
    failed: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return {
            "accuracy": None if self.accuracy is None else self.accuracy.to_dict(),
            "macs": self.macs,
            "failed": self.failed,
        }


@dataclass(frozen=True, kw_only=True)
class ComparedControl:
    """One control of one member.

    Args:
        role: which control.
        replicates: its trials.
        comparison: member minus control, on the seeds on which both are complete; where less of
            the leading metric is better, control minus member.
    """

    role: str
    replicates: Replicates
    comparison: Comparison

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return {
            "role": self.role,
            **self.replicates.to_dict(),
            "comparison": self.comparison.to_dict(),
        }


@dataclass(frozen=True, kw_only=True)
class ConfirmedMember:
    """One member of the front.

    The accuracy it came to the front with is the best of many and biased upward; that of the
    replicates, which played no part in choosing it, is not.

    Args:
        point: the member as the search found it.
        replicates: its confirmations.
        same_removed: how many of them removed the same branches as the member.
        controls: what it was compared with, in the order in which they were first run.
    """

    point: FrontPoint
    replicates: Replicates
    same_removed: int
    controls: tuple[ComparedControl, ...]

    @property
    def accuracy(self) -> Spread | None:
        """Validation accuracy over fresh seeds; None while there is none."""
        return self.replicates.accuracy

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return {
            "trial": self.point.trial,
            "raw": {
                "accuracy": self.point.point.leading,
                "macs": self.point.point.macs,
                "removed": list(self.point.removed),
            },
            "confirmed": {**self.replicates.to_dict(), "same_removed": self.same_removed},
            "controls": [control.to_dict() for control in self.controls],
        }


def confirmed_front(ledger: Ledger) -> list[ConfirmedMember]:
    """Return every member of a study's front, confirmed or not, in the order of the trials."""
    return confirmed_members(ledger.front(), ledger.trials())


def confirmed_best_first(ledger: Ledger) -> list[ConfirmedMember]:
    """Return the same, the one that is believed to be the most accurate first."""
    records = ledger.trials()
    return confirmed_members(best_first(ledger.front(), confirmed_means(records)), records)


def confirmed_members(
    front: Sequence[FrontPoint], records: Sequence[TrialRecord]
) -> list[ConfirmedMember]:
    """Return every member of a front, confirmed or not, in its order.

    Args:
        front: the front of a study.
        records: all the study's trials.
    """
    extra = [record for record in records if record.about is not None]
    return [
        _member(point, [record for record in extra if record.about == point.trial])
        for point in front
    ]


def _member(point: FrontPoint, records: Sequence[TrialRecord]) -> ConfirmedMember:
    confirmed = [record for record in records if record.kind == "confirm"]
    ours = _accuracies(confirmed)
    controls = []
    sign = 1.0 if point.point.goal == "maximize" else -1.0
    for role in dict.fromkeys(record.role for record in records if record.kind == "control"):
        trials = [record for record in records if record.role == role]
        theirs = _accuracies(trials)
        shared = sorted(ours.keys() & theirs.keys())
        controls.append(
            ComparedControl(
                role=role,
                replicates=_replicates(trials),
                comparison=compare(
                    [sign * ours[r] for r in shared], [sign * theirs[r] for r in shared]
                ),
            )
        )
    return ConfirmedMember(
        point=point,
        replicates=_replicates(confirmed),
        same_removed=sum(
            record.result is not None and record.result.removed == point.removed
            for record in confirmed
        ),
        controls=tuple(controls),
    )


def _replicates(records: Sequence[TrialRecord]) -> Replicates:
    accuracies = _accuracies(records)
    macs = [record.result.point.macs for record in records if record.result is not None]
    lost = {
        record.replicate
        for record in records
        if record.state in {TrialState.FAILED, TrialState.INFEASIBLE}
    }
    return Replicates(
        accuracy=spread(list(accuracies.values())) if accuracies else None,
        macs=fmean(macs) if macs else None,
        failed=len(lost - accuracies.keys()),
    )


def _accuracies(records: Sequence[TrialRecord]) -> dict[int, float]:
    """Return the leading metric by replicate, of the trials that are complete."""
    return {
        record.replicate: record.result.point.leading
        for record in records
        if record.result is not None
    }
