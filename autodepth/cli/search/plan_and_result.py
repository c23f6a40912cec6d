"""What `autodepth search` and `resume` print: the plan before, the result after."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from autodepth.cli.console import give, give_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from autodepth.data.load import ImageData
    from autodepth.space.sections.search_models import StartPoint
    from autodepth.study.plan.plan import StudyPlan
    from autodepth.study.plan.resources import Resources
    from autodepth.study.run import StudyResult
    from autodepth.tasks.task_data import TaskData


_FEW_CLASSES = 10


def tell(result: StudyResult, plan: StudyPlan, *, json: bool) -> None:
    """Print the result of a search, and exit with the status for how it ended."""
    if json:
        give_json(result_values(result))
    else:
        _print_result(result, plan)
    sys.exit(_status(result))


def result_values(result: StudyResult) -> dict[str, Any]:
    """Return the result of a search as plain values."""
    return {**asdict(result), "front": [point.to_dict() for point in result.front]}


def plan_lines(plan: StudyPlan, space: Path) -> list[str]:
    """Return the plan of a search as lines."""
    from autodepth.study.plan.estimate import macs_range
    from autodepth.units import format_duration, format_macs

    network, data, macs = plan.network, plan.context.data, macs_range(plan.network, plan.space)
    identity = sum(branch.shortcut == "identity" for branch in network.branches)
    shape = "x".join(map(str, network.input_shape))
    lines = [
        f"space     {space.name if space.is_absolute() else space}, seed {plan.space.seed}",
        f"budget    {plan.budget.plan(plan.resources.device, plan.resources.devices)}, "
        f"{plan.resources.count} trials at a time{_each(plan.resources)}",
        f"network   {plan.context.spec.name}: {len(network.branches)} residual branches "
        f"({identity} identity, {len(network.branches) - identity} projection) "
        f"in {network.num_stages} stages",
        *data_lines(data, shape),
        f"reach     {format_macs(macs.least)} to {format_macs(macs.most)} MACs "
        f"(middle {format_macs(macs.middle)})",
    ]
    if first := plan.space.start_with:
        lines.append(f"first     {_first_policies(first)}")
    lines += [f"bound     {bound}: {verdict}" for bound, verdict in plan.bounds.items()]
    trials, seconds = plan.affordable_trials, format_duration(plan.seconds_per_trial)
    count = "any number of" if trials == float("inf") else f"about {max(trials, 0):.0f}"
    lines.append(f"trials    {count}, of about {seconds} each (estimate from a few timed steps)")
    return [*lines, *(f"note      {note}" for note in plan.notes)]


def data_lines(data: ImageData | TaskData, shape: str) -> list[str]:
    """Return the numbers of images as lines; of a person's own per class and split, too.

    Args:
        data: the images.
        shape: what the network takes, as `3x32x32`.
    """
    from autodepth.data.settings import TASK_DATA
    from autodepth.tasks.task_data import TaskData

    if isinstance(data, TaskData):
        source = "" if data.settings.name == TASK_DATA else f" of {data.settings.name}"
        return [
            f"task      {data.name}{source}: {len(data.train):,} examples to train on, "
            f"{len(data.validation):,} to validate, {shape}"
        ]
    own = "test" in data.counts
    tested = f"{sum(data.counts['test']):,} to test, " if own else ""
    lines = [
        f"data      {data.settings.name}: {len(data.train):,} images to train on, "
        f"{len(data.validation):,} to validate, {tested}{len(data.classes)} classes, {shape}"
    ]
    if not own:
        return lines
    if len(data.classes) <= _FEW_CLASSES:
        told = ", ".join(
            f"{name} {'/'.join(f'{count:,}' for count in counts)}"
            for name, *counts in zip(data.classes, *data.counts.values(), strict=True)
        )
    else:
        told = "/".join(_spread(counts) for counts in data.counts.values())
    return [*lines, f"classes   {told} ({'/'.join(data.counts)})"]


def _spread(counts: Sequence[int]) -> str:
    least, most = min(counts), max(counts)
    return f"{least:,} of each" if least == most else f"{least:,} to {most:,} of each"


def _each(resources: Resources) -> str:
    if not resources.per_trial:
        return ""
    together = f", {resources.ranks} processes" if resources.ranks > 1 else ""
    return f" of {resources.per_trial}{together} each"


def _first_policies(first: Sequence[StartPoint]) -> str:
    names = [point for point in first if isinstance(point, str)]
    others = len(first) - len(names)
    told = [f"{others} told by their settings"] if others else []
    return ", ".join([*told, *names])


def plan_values(plan: StudyPlan) -> dict[str, Any]:
    """Return the same as plain values."""
    from autodepth.study.plan.estimate import macs_range

    trials = plan.affordable_trials
    return {
        **plan.to_dict(),
        "images": {
            split: dict(zip(plan.context.data.classes, counts, strict=True))
            for split, counts in plan.context.data.counts.items()
        },
        "branches": len(plan.network.branches),
        "equal_off_by": plan.network.off_by,
        "macs": asdict(macs_range(plan.network, plan.space)),
        "seconds_per_trial": plan.seconds_per_trial,
        "bounds": dict(plan.bounds),
        "affordable_trials": None if trials == float("inf") else trials,
        "notes": list(plan.notes),
    }


def _print_result(result: StudyResult, plan: StudyPlan) -> None:
    from autodepth.cli.tables import print_front
    from autodepth.records.ledger import Ledger
    from autodepth.records.studies import find_study
    from autodepth.records.trial_record import SPENT
    from autodepth.report.analysis.confirmed import confirmed_best_first
    from autodepth.units import format_device_time

    spent = format_device_time(result.spent_device_seconds, plan.resources.device)
    say(
        f"{result.study}: {result.complete} of {result.trials} trials complete, {spent}; "
        f"{result.outcome}"
    )
    if result.unsent:
        say(
            f"{result.unsent} trials are not in MLflow yet; "
            f"send them: autodepth sync {result.study}"
        )
    if not result.front and result.outcome != SPENT:
        return
    if not result.front:
        needed = plan.seconds_per_trial * plan.resources.devices
        say(
            "no trial could be completed; one takes about "
            f"{format_device_time(needed, plan.resources.device)}: raise the budget, or lower "
            "train.epochs or data.train_images"
        )
        return
    give(
        f"{result.study}: {len(result.front)} points on the front, "
        f"hypervolume {result.hypervolume:.3f} (validation split)"
    )
    with Ledger.open(find_study(result.study).ledger_path, read_only=True) as ledger:
        members = confirmed_best_first(ledger)
    print_front(members, plan.unpruned["macs"])
    if any(member.accuracy for member in members):
        say("confirmed: mean and standard deviation in % over fresh seeds (how many)")
    say(f"charts of all trials: {result.charts or f'autodepth mlflow {result.study} --open'}")
    say(f"export one: autodepth export {result.study} --select knee --to exports/{result.study}")


def _status(result: StudyResult) -> int:
    from autodepth.records.trial_record import SPENT

    if result.signal:
        return 128 + result.signal
    if result.halted:
        return os.EX_IOERR
    if result.front:
        return 0
    return 3 if result.outcome == SPENT else 1
