"""What a study knows that bounds are answered with: scores of branches, what networks came to."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from autodepth.errors import StudyError
from autodepth.front.selection import FrontPoint
from autodepth.policy.policy import Policy
from autodepth.records.ledger import Ledger
from autodepth.records.trial_record import TrialRecord
from autodepth.service.solving.expectation import Known, share_lost
from autodepth.tasks.task import Metric
from autodepth.trial.result import TrialResult

_BLIND = {"random", "evenly_spaced", "stage_ends"}  # criteria that say nothing of a branch's worth
_MOST_TEMPLATES = 12


@dataclass(frozen=True, kw_only=True)
class Template:
    """A trial that scored the branches of its parent: other networks are cut out like it.

    Args:
        number: of the trial.
        policy: what it carried out, but for how its branches went and how wide they are.
        worth: what the network loses without each branch.
        parent: accuracy of the parent; of another task how good it is from worst to best.
        accuracy: what the trial came to.
    """

    number: int
    policy: Policy
    worth: Mapping[int, float]
    parent: float
    accuracy: float

    @property
    def problem(self) -> str:
        """What trials have in common of which the same branches go."""
        floors = [sorted(self.policy.protected), self.policy.least_per_stage]
        return json.dumps([sorted(self.worth.items()), floors])


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a study knows.

    Args:
        plan: its plan, as the ledger has it.
        front: members of its front.
        templates: trials that networks may be cut out like, those of the front first.
        known: what networks that were cut out of parents came to.
    """

    plan: Mapping[str, Any]
    front: Sequence[FrontPoint]
    templates: Sequence[Template]
    known: Sequence[Known]


def read_evidence(ledger: Ledger) -> Evidence:
    """Read what a study knows.

    Raises:
        StudyError: no trial of the study scored the branches of a trained network.
    """
    study, front = ledger.study, ledger.front()
    quality = _quality(study.plan)
    scored = [
        (record, policy, record.result)
        for record in ledger.trials()
        if record.result is not None
        and record.of_search
        and record.result.sensitivities
        # from here on what it is made of has to be simple enough to be made again otherwise
        and (policy := Policy.from_dict(dict(record.carried_out))).origin == "parent"
    ]
    templates = [
        _template(record, policy, result, quality)
        for record, policy, result in scored
        if _tells_worth(policy)
    ]
    if not templates:
        raise StudyError(
            f"bounds are solved with what branches are worth, but no trial of {study.name} scored "
            "those of a trained network"
        )
    whole_macs = float(study.plan["unpruned"]["macs"])
    return Evidence(
        plan=study.plan,
        front=front,
        templates=_best_first(templates, {member.trial for member in front}),
        known=[
            _known(policy, result, quality, whole_macs, _tuned(ledger, record.number))
            for record, policy, result in scored
        ],
    )


def _tells_worth(policy: Policy) -> bool:
    judged = policy.removes_jointly or policy.criterion not in _BLIND
    return judged and policy.stream_width == 1


def _template(
    record: TrialRecord, policy: Policy, result: TrialResult, quality: Callable[[float], float]
) -> Template:
    return Template(
        number=record.number,
        policy=replace(policy.removing(), removal="one_shot", filter_sparsity=0.0),
        worth=result.sensitivities,
        parent=quality(result.parent_accuracy),
        accuracy=result.point.validation_accuracy,
    )


def _known(
    policy: Policy,
    result: TrialResult,
    quality: Callable[[float], float],
    whole_macs: float,
    curve: Sequence[float],
) -> Known:
    return Known(
        epochs=policy.fine_tune_epochs,
        share=result.point.macs / whole_macs,
        lost=share_lost(result.sensitivities, result.removed),
        parent=quality(result.parent_accuracy),
        curve=curve,
        accuracy=result.point.validation_accuracy,
    )


def _tuned(ledger: Ledger, number: int) -> list[float]:
    return [e.validation_accuracy for e in ledger.epochs(number) if e.phase == "fine_tune"]


def _best_first(templates: Sequence[Template], front: Collection[int]) -> list[Template]:
    def order(template: Template) -> tuple[bool, float, int]:
        return template.number not in front, -template.accuracy, template.number

    return sorted(templates, key=order)[:_MOST_TEMPLATES]


def _quality(plan: Mapping[str, Any]) -> Callable[[float], float]:
    """Return what brings the leading metric to the scale from its worst, 0, to its best, 1."""
    task = plan.get("task")
    if task is None:
        return lambda accuracy: accuracy
    return Metric(**next(iter(task["metrics"].values()))).share
