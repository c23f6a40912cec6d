"""Studies side by side: how good their fronts are, how soon they became so, which attains which.

All are measured by the objectives and the reference corner of the first, as
`autodepth.report.analysis.attainment` says.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from autodepth.errors import InputError
from autodepth.front.dominance import pareto_front
from autodepth.front.objective import Objective, objective_values
from autodepth.records.ledger import Ledger
from autodepth.report.analysis.attainment import (
    Curve,
    Values,
    attained,
    hypervolume_at,
    hypervolume_curve,
    spent_to_reach,
)
from autodepth.trial.result import OperatingPoint
from autodepth.units import Device

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the least that any of the studies spent: where their hypervolumes are compared."""


@dataclass(frozen=True, kw_only=True)
class RecordedStudy:
    """What a comparison needs of a study.

    Args:
        name: the study's name.
        objectives: what it optimised.
        unpruned_macs: of its network before anything was removed.
        data_fingerprint: equal ones mean equal training and validation images.
        device: kind of device it was charged for.
        trials: trials started.
        spent: device seconds charged in all.
        points: (device seconds spent by then, operating point) of every trial that is a
            candidate for the front.
    """

    name: str
    objectives: tuple[Objective, ...]
    unpruned_macs: float
    data_fingerprint: str
    device: Device
    trials: int
    spent: float
    points: tuple[tuple[float, OperatingPoint], ...]


@dataclass(frozen=True, kw_only=True)
class ComparedStudy:
    """One study of a comparison.

    Args:
        name: the study's name.
        device: kind of device it was charged for.
        trials: trials started.
        spent: device seconds charged in all.
        front: its front, objectives in their own units, ordered by them.
        hypervolume: of the front at the end, relative.
        curve: (device seconds, relative hypervolume), whenever the hypervolume rose.
        at_shares: hypervolume at `SHARES` of the least that any of the studies spent.
    """

    name: str
    device: Device
    trials: int
    spent: float
    front: tuple[Values, ...]
    hypervolume: float
    curve: Curve
    at_shares: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Rivalry:
    """One study against another.

    Args:
        study: the one that is looked at.
        other: the one it is compared with.
        target: the other's final hypervolume.
        reached_after: device seconds the study needed to reach it; None if it never did.
        other_after: device seconds the other needed itself.
        points: of the other's front.
        attained: how many of these the study attains.
        dominated: how many of these it dominates.
    """

    study: str
    other: str
    target: float
    reached_after: float | None
    other_after: float
    points: int
    attained: int
    dominated: int

    @property
    def speedup(self) -> float | None:
        """How many times less device time than the other it needed; None if it never got there."""
        return self.other_after / self.reached_after if self.reached_after else None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Studies side by side.

    Args:
        objectives: all are measured by these, those of the first study.
        same_device: whether all were charged for one kind of device; if not, no times compare.
        least_spent: device seconds of the study that spent least.
        studies: in the order they were given.
        rivalries: every study against every other.
        notes: what makes the comparison less than exact, in sentences.
    """

    objectives: tuple[Objective, ...]
    same_device: bool
    least_spent: float
    studies: tuple[ComparedStudy, ...]
    rivalries: tuple[Rivalry, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return {
            "objectives": [objective.to_dict() for objective in self.objectives],
            "same_device": self.same_device,
            "least_spent_device_seconds": self.least_spent,
            "notes": list(self.notes),
            "studies": [
                {
                    "study": study.name,
                    "device": study.device,
                    "trials": study.trials,
                    "spent_device_seconds": study.spent,
                    "front": [list(values) for values in study.front],
                    "hypervolume": study.hypervolume,
                    "hypervolume_at": dict(zip(map(str, SHARES), study.at_shares, strict=True)),
                    "curve": [list(step) for step in study.curve],
                }
                for study in self.studies
            ],
            "rivalries": [
                {**asdict(rivalry), "speedup": rivalry.speedup} for rivalry in self.rivalries
            ],
        }


def recorded_study(name: str, ledger: Ledger) -> RecordedStudy:
    """Read what a comparison needs from a study's ledger."""
    study, records = ledger.study, ledger.trials()
    plan = study.plan
    by_number = {record.number: record.front_point for record in records}
    ended = ((spent, by_number[number]) for number, spent in ledger.endings())
    return RecordedStudy(
        name=name,
        objectives=study.objectives,
        unpruned_macs=plan["unpruned"]["macs"],
        data_fingerprint=plan["data_fingerprint"],
        device=plan["device"],
        trials=len(records),
        spent=ledger.spent(),
        points=tuple((spent, member.point) for spent, member in ended if member is not None),
    )


def compare_studies(studies: Sequence[RecordedStudy]) -> Comparison:
    """Put studies side by side.

    Raises:
        InputError: there are fewer than two, one is named twice, or they have different
            objectives or networks.
    """
    _check(studies)
    objectives = studies[0].objectives
    least = min(study.spent for study in studies)
    compared = tuple(_compared(study, objectives, least) for study in studies)
    return Comparison(
        objectives=objectives,
        same_device=len({study.device for study in studies}) == 1,
        least_spent=least,
        studies=compared,
        rivalries=tuple(
            _rivalry(study, other, objectives)
            for study, other in itertools.permutations(compared, 2)
        ),
        notes=_notes(studies),
    )


def _check(studies: Sequence[RecordedStudy]) -> None:
    names = [study.name for study in studies]
    if len(set(names)) != len(names) or len(names) < 2:
        raise InputError(f"studies to compare must be at least two, and differ, but got {names}")
    first = studies[0]
    for study in studies[1:]:
        wanted = [f"{o.goal} {o.name}" for o in first.objectives]
        found = [f"{o.goal} {o.name}" for o in study.objectives]
        for what, a, b in (
            ("optimise the same", ", ".join(wanted), ", ".join(found)),
            (
                "start from equal networks",
                f"{first.unpruned_macs:,.0f} MACs",
                f"{study.unpruned_macs:,.0f} MACs",
            ),
        ):
            if a != b:
                raise InputError(
                    f"studies to compare must {what}, but {first.name} has {a} and "
                    f"{study.name} has {b}"
                )


def _notes(studies: Sequence[RecordedStudy]) -> tuple[str, ...]:
    first, notes = studies[0], []
    for study in studies[1:]:
        if study.data_fingerprint != first.data_fingerprint:
            notes.append(
                f"{study.name} has other training or validation images than {first.name}: their "
                "accuracies, and what is computed from them, are not comparable"
            )
        if study.objectives != first.objectives:
            notes.append(
                f"{study.name} has other reference values; it is measured by those of {first.name}"
            )
        if study.device != first.device:
            notes.append(
                f"{study.name} was charged for {study.device} time, {first.name} for "
                f"{first.device} time: compare their fronts, not how soon they were found"
            )
    return tuple(notes)


def _compared(study: RecordedStudy, objectives: Sequence[Objective], least: float) -> ComparedStudy:
    values = objective_values([point for _, point in study.points], objectives)
    spent = [at for at, _ in study.points]
    curve = hypervolume_curve(list(zip(spent, values, strict=True)), objectives)
    front = pareto_front(values, [objective.goal for objective in objectives])
    return ComparedStudy(
        name=study.name,
        device=study.device,
        trials=study.trials,
        spent=study.spent,
        front=tuple(sorted(values[index] for index in front)),
        hypervolume=curve[-1][1] if curve else 0.0,
        curve=curve,
        at_shares=tuple(hypervolume_at(curve, share * least) for share in SHARES),
    )


def _rivalry(
    study: ComparedStudy, other: ComparedStudy, objectives: Sequence[Objective]
) -> Rivalry:
    target = other.hypervolume
    count, beaten = attained(study.front, other.front, objectives)
    return Rivalry(
        study=study.name,
        other=other.name,
        target=target,
        reached_after=spent_to_reach(study.curve, target) if target else None,
        other_after=spent_to_reach(other.curve, target) or 0.0,
        points=len(other.front),
        attained=count,
        dominated=beaten,
    )
