"""The metrics of a task in a search space: objectives and constraints that name them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from autodepth.errors import InputError, did_you_mean
from autodepth.space.objectives import COSTS, is_at
from autodepth.space.search_space import SearchSpace
from autodepth.space.sections.models import ObjectiveSection
from autodepth.tasks.task import Metric

_SPLIT = "validation_"
_LOSS = "validation_loss"


def with_task_metrics(space: SearchSpace, metrics: Mapping[str, Metric]) -> SearchSpace:
    """Return a space whose objectives are the task's: by default the leading metric, and MACs.

    Args:
        space: its objectives may be left out, and so may the goal of each.
        metrics: of the task, the leading one first.

    Raises:
        InputError: an objective or a constraint names a metric that neither the task nor a cost
            has, or a goal is not the metric's; every mistake is told.
    """
    known = {f"{_SPLIT}{name}": metric for name, metric in metrics.items()}
    mistakes: list[str] = []
    objectives = []
    for i, objective in enumerate(space.objectives or _default(known)):
        mistakes += _unknown(f"objectives[{i}].name", objective.name, known)
        metric = known.get(objective.name)
        if metric is not None and "goal" in objective.model_fields_set:
            mistakes += _wrong_goal(f"objectives[{i}].goal", objective, metric)
        if metric is not None:
            objective = objective.model_copy(update={"goal": metric.goal})  # noqa: PLW2901
        objectives.append(objective)
    for i, constraint in enumerate(space.constraints):
        mistakes += _unknown(f"constraints[{i}]", constraint.metric, known)
    if mistakes:
        raise InputError("\n".join(mistakes))
    return replace(space, objectives=tuple(objectives))


def _default(known: Mapping[str, Metric]) -> tuple[ObjectiveSection, ...]:
    name, leading = next(iter(known.items()))
    return (
        ObjectiveSection.model_validate({"name": name, "reference": leading.worst}),
        ObjectiveSection.model_validate({"name": "macs", "reference": "100%"}),
    )


def _unknown(place: str, name: str, known: Iterable[str]) -> list[str]:
    names = (*known, _LOSS, *COSTS)
    if name in names or is_at(name):
        return []
    told = f"{place}: must be one of {', '.join(names)}, but got {name!r}"
    return [told + did_you_mean(name, names)]


def _wrong_goal(place: str, objective: ObjectiveSection, metric: Metric) -> list[str]:
    if objective.goal == metric.goal:
        return []
    return [f"{place}: of {objective.name} must be {metric.goal}, but got {objective.goal!r}"]
