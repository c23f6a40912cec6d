"""What a study knows that bounds are answered with: scores of branches, what networks came to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autodepth.errors import StudyError
from autodepth.front.selection import FrontPoint
from autodepth.policy.policy import Policy
from autodepth.records.ledger import Ledger
from autodepth.service.solving.expectation import Known
from autodepth.service.solving.template import Template
from autodepth.tasks.task import Metric

_MOST_TEMPLATES = 12


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a study knows.

    Args:
        plan: its plan, as the ledger has it.
        front: members of its front.
        templates: trials that networks may be cut out like, those of the front first.
        known: what networks that were cut out of scored parents came to.
        quality: brings the leading metric to the scale from its worst, 0, to its best, 1.
    """

    plan: Mapping[str, Any]
    front: Sequence[FrontPoint]
    templates: Sequence[Template]
    known: Sequence[Known]
    quality: Callable[[float], float]


def read_evidence(ledger: Ledger) -> Evidence:
    """Read what a study knows.

    Raises:
        StudyError: no trial of the study scored the branches of a trained network.
    """
    study, front = ledger.study, ledger.front()
    cut = [
        Template.of(record.number, policy, record.result)
        for record in ledger.trials()
        if record.result is not None
        and record.of_search
        and (policy := Policy.from_dict(dict(record.carried_out))).origin == "parent"
    ]
    telling = [template for template in cut if template.tells_worth]
    if not telling:
        raise StudyError(
            f"bounds are solved with what branches are worth, but no trial of {study.name} scored "
            "those of a trained network"
        )
    whole_macs, quality = float(study.plan["unpruned"]["macs"]), _quality(study.plan)
    scored = {template.parent: template for template in cut if template.worth}
    return Evidence(
        plan=study.plan,
        front=front,
        templates=_best_first(telling, {member.trial for member in front}),
        known=[
            _known(trial, by, quality, whole_macs, _tuned(ledger, trial.number))
            for trial in cut
            # What was asked for scored nothing; another trial scored the same parent.
            if (by := trial if trial.worth else scored.get(trial.parent)) is not None
            and by.knows(trial.widths)
        ],
        quality=quality,
    )


def _known(
    trial: Template,
    by: Template,
    quality: Callable[[float], float],
    whole_macs: float,
    curve: Sequence[float],
) -> Known:
    result = trial.result
    return Known(
        epochs=trial.policy.fine_tune_epochs,
        share=result.point.macs / whole_macs,
        lost=by.lost(trial.widths),
        parent=quality(result.parent_accuracy),
        curve=curve,
        accuracy=result.point.validation_accuracy,
    )


def _tuned(ledger: Ledger, number: int) -> list[float]:
    return [e.validation_accuracy for e in ledger.epochs(number) if e.phase == "fine_tune"]


def _best_first(templates: Sequence[Template], front: Collection[int]) -> list[Template]:
    def order(template: Template) -> tuple[bool, float, int]:
        accuracy = template.result.point.validation_accuracy
        return template.number not in front, -accuracy, template.number

    return sorted(templates, key=order)[:_MOST_TEMPLATES]


def _quality(plan: Mapping[str, Any]) -> Callable[[float], float]:
    task = plan.get("task")
    if task is None:
        return lambda accuracy: accuracy
    return Metric(**next(iter(task["metrics"].values()))).share
