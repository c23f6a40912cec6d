"""Why a trial is where it is: what was decided about it, how it learned, what is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from autodepth.front.dominance import dominates
from autodepth.front.objective import Objective, objective_values
from autodepth.front.selection import FrontPoint
from autodepth.records.ledger import Ledger
from autodepth.records.trial_record import TrialRecord
from autodepth.report.lineage import Step, lineage
from autodepth.trial.result import EpochReport


@dataclass(frozen=True, kw_only=True)
class TrialExplanation:
    """What is known of one trial.

    Args:
        record: the trial as the ledger has it.
        epochs: its epochs, by step.
        verdicts: what was decided about it, in words; empty if nothing was.
        lineage: what was done to come to its network, the first step first.
        on_front: whether it is a member of the study's front.
        equals: the member of the front whose objectives are the same; None if there is none.
        dominated_by: the members of the front that are at least as good in every objective and
            better in one, the most accurate first.
    """

    record: TrialRecord
    epochs: tuple[EpochReport, ...]
    verdicts: tuple[str, ...]
    lineage: tuple[Step, ...]
    on_front: bool
    equals: int | None
    dominated_by: tuple[FrontPoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        record = self.record
        return {
            "trial": record.number,
            "kind": record.kind,
            "state": record.state.value,
            "reason": record.reason,
            "about": record.about,
            "verdicts": list(self.verdicts),
            "lineage": [step.to_dict() for step in self.lineage],
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "point": None if record.result is None else record.result.point.to_dict(),
            "removed": None if record.result is None else list(record.result.removed),
            "on_front": self.on_front,
            "equals": self.equals,
            "dominated_by": [member.to_dict() for member in self.dominated_by],
        }


def explain_trial(ledger: Ledger, number: int) -> TrialExplanation:
    """Explain a trial: what was decided about it, and which members of the front beat it.

    Args:
        ledger: the study's, open for reading.
        number: the trial.

    Raises:
        InputError: there is no such trial.
    """
    record = ledger.trial(number)
    front, objectives = ledger.front(), ledger.study.objectives
    return TrialExplanation(
        record=record,
        epochs=tuple(ledger.epochs(number)),
        verdicts=verdicts_on(ledger, record),
        lineage=lineage(record, ledger.trial),
        on_front=any(member.trial == number for member in front),
        equals=_equal(record, front, objectives),
        dominated_by=better(record, front, objectives),
    )


def verdicts_on(ledger: Ledger, record: TrialRecord) -> tuple[str, ...]:
    """Return what was decided about a trial, in words and in the order it was decided."""
    told = [str(verdict["reason"]) for verdict in ledger.verdicts(record.number)]
    if record.reason is not None and record.reason not in told:
        told.append(record.reason)
    return tuple(told)


def better(
    record: TrialRecord, front: Sequence[FrontPoint], objectives: Sequence[Objective]
) -> tuple[FrontPoint, ...]:
    """Return the members of a front that dominate a trial, the most accurate first.

    A trial is measured whatever its kind; one that brought nothing back is dominated by none.
    """
    if record.result is None or not record.result.point.knows([o.name for o in objectives]):
        return ()
    goals = [objective.goal for objective in objectives]
    (own,) = objective_values([record.result.point], objectives)
    values = objective_values([member.point for member in front], objectives)
    found = [m for m, value in zip(front, values, strict=True) if dominates(value, own, goals)]
    return tuple(sorted(found, key=lambda m: (-m.point.validation_accuracy, m.point.macs)))


def _equal(
    record: TrialRecord, front: Sequence[FrontPoint], objectives: Sequence[Objective]
) -> int | None:
    if record.result is None:
        return None
    (own,) = objective_values([record.result.point], objectives)
    values = objective_values([member.point for member in front], objectives)
    same = [m.trial for m, value in zip(front, values, strict=True) if value == own]
    return next((trial for trial in same if trial != record.number), None)
