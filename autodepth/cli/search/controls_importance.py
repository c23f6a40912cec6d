"""`autodepth confirm`, `controls` and `importance`: is the front real, and what made it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from autodepth.cli.console import give, give_json, say
from autodepth.cli.options import (
    AtMost,
    ConcurrencyAsBefore,
    Json,
    Moved,
    MovedWeights,
    OwnCode,
    RayAddress,
    Storage,
    Study,
    read_concurrency,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from autodepth.report.analysis.confirmed import ConfirmedMember, Replicates


def confirm(  # noqa: PLR0913, PLR0917 - an option each
    study: Study = "latest",
    seeds: Annotated[int, typer.Option(help="Fresh seeds per member of the front.")] = 2,
    control: Annotated[
        list[str] | None,
        typer.Option(
            help="Control to carry out too, by its name in docs/controls.md; repeatable; or all."
        ),
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(
            help="A member alone: knee, trial:7, 'macs<=20M', as of export; repeatable. All of "
            "the front if left out.",
        ),
    ] = None,
    at_most: AtMost = None,
    concurrency: ConcurrencyAsBefore = None,
    data: Moved = None,
    weights: MovedWeights = None,
    ray_address: RayAddress = None,
    storage: Storage = None,
    own_code: OwnCode = False,
    json: Json = False,
) -> None:
    """Retrain the front on fresh seeds, and compare its members with controls.

    Example: autodepth confirm latest --seeds 3 --control all --select knee
    """
    from dataclasses import asdict

    from autodepth.cli.search.live_view import watching
    from autodepth.service.search.confirm import confirm as carry_out
    from autodepth.service.search.requests import ConfirmRequest
    from autodepth.study.confirm.baselines import ROLES

    request = ConfirmRequest(
        study=study,
        seeds=seeds,
        roles=tuple(ROLES) if control == ["all"] else control or (),
        selected=select or (),
        at_most=at_most,
        concurrency=read_concurrency(concurrency),
        data=data,
        weights=weights,
        own_code=own_code,
        ray_address=ray_address,
        storage=storage,
    )
    result = carry_out(request, watch=watching)
    say(f"{result.study}: {result.complete} of {result.trials} trials complete")
    if result.interrupted or (at_most is not None and result.missing):
        why = "it was asked to end" if result.interrupted else f"it might take {at_most}"
        say(f"{result.missing} trials are missing, for {why}: the same command carries them out")
    if json:
        front = [member.to_dict() for member in _members(result.study)]
        give_json({**asdict(result), "front": front})
    else:
        controls(result.study)


def controls(study: Study = "latest", json: Json = False) -> None:
    """Print what each member of the front was compared with, and the verdicts.

    Differences are paired by seed. `yes` and `no` say that the member is better or worse than
    the control by two standard deviations of the differences or more; anything less is a tie.

    Example: autodepth controls latest --json
    """
    from rich.console import Console

    from autodepth.records.studies import find_study

    folder, members = find_study(study), _members(study)
    if json:
        give_json([member.to_dict() for member in members])
        return
    shown = [member for member in members if member.controls]
    if not shown:
        confirmed = sum(member.accuracy is not None for member in members)
        give(
            f"{folder.name} has no controls yet; {confirmed} of {len(members)} members of its "
            "front are confirmed on fresh seeds"
        )
        return
    leading = shown[0].point.point.metric_in_words
    give(f"{folder.name}: {leading} over fresh seeds, mean ± sd (seeds)")
    Console().print(_verdicts(shown))
    if elsewhere := _elsewhere(shown):
        give(elsewhere)
    say(
        "better: yes or no from two standard deviations of the paired differences on, else tie; "
        "unknown with fewer than 2 pairs. p: paired t-test, not corrected for many comparisons."
    )


def importance(study: Study = "latest", json: Json = False) -> None:
    """Print which searched dimensions matter for accuracy at equal MACs.

    What MACs alone predict is taken out first. An importance is the rise of the squared error of
    predicted accuracy when the dimension is shuffled, in units of the variance that is left.

    Example: autodepth importance latest --json
    """
    from rich.console import Console
    from rich.table import Table

    from autodepth.records.ledger import Ledger
    from autodepth.records.studies import find_study
    from autodepth.report.analysis.importance import importance as analyse
    from autodepth.seeding import derive_seed

    folder = find_study(study)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        found = analyse(ledger.trials(), seed=derive_seed(ledger.study.seed, "importance"))
    if json:
        give_json(found.to_dict())
        return
    if found.explained is None:
        give(f"{folder.name}: {found.note}")
        return
    give(
        f"{folder.name}: importance for validation accuracy at equal MACs, {found.trials} trials\n"
        f"all dimensions explain {max(0.0, found.explained):.0%} of its variance in trials not seen"
    )
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("dimension", overflow="fold")
    for name in ("importance", "sd", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    for dimension in found.dimensions:
        interval = f"{dimension.low:+.2f} to {dimension.high:+.2f}"
        table.add_row(dimension.name, f"{dimension.mean:.2f}", f"{dimension.sd:.2f}", interval)
    Console().print(table)
    say(found.note or "below about 0.1, or with 0 in its interval, a dimension may not matter")


def _members(study: str) -> list[ConfirmedMember]:
    from autodepth.records.ledger import Ledger
    from autodepth.records.studies import find_study
    from autodepth.report.analysis.confirmed import confirmed_front

    with Ledger.open(find_study(study).ledger_path, read_only=True) as ledger:
        return confirmed_front(ledger)


def _verdicts(members: Sequence[ConfirmedMember]) -> Table:
    from rich.table import Table

    from autodepth.report.wording import shown_difference

    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("trial", justify="right")
    table.add_column("beside")
    for name in (members[0].point.point.column, "MACs", "difference", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("better")
    for member in members:
        unit = member.point.point.unit
        raw = f"itself, raw {member.point.point.shown()}"
        table.add_row(str(member.point.trial), raw, *_cells(member.replicates, unit))
        for control in member.controls:
            cells = _cells(control.replicates, unit)
            table.add_row("", control.role, *cells, *shown_difference(control.comparison, unit))
        table.add_section()
    return table


def _elsewhere(members: Sequence[ConfirmedMember]) -> str:
    """Name the members of which other seeds removed other branches; empty for none."""
    told = [
        f"trial {member.point.trial} on {other} of {member.accuracy.n} seeds"
        for member in members
        if member.accuracy and (other := member.accuracy.n - member.same_removed)
    ]
    return f"other branches went than in the search: {', '.join(told)}" if told else ""


def _cells(replicates: Replicates, unit: str) -> tuple[str, str]:
    from autodepth.report.wording import shown_spread
    from autodepth.units import format_macs

    if replicates.accuracy is None or replicates.macs is None:
        return f"{replicates.failed} failed" if replicates.failed else "-", "-"
    failed = f" {replicates.failed} failed" if replicates.failed else ""
    return shown_spread(replicates.accuracy, unit) + failed, format_macs(replicates.macs)
