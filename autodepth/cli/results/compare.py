"""`autodepth compare`: studies side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autodepth.cli.console import give, give_json, say
from autodepth.cli.options import Json

if TYPE_CHECKING:
    from autodepth.records.studies import StudyFolder
    from autodepth.report.analysis.comparison import (
        ComparedStudy,
        Comparison,
        RecordedStudy,
        Rivalry,
    )

_WIDEST_NAME = 22


def compare(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY", help="Two studies or more.")],
    to: Annotated[
        Path | None, typer.Option(help="Figure to write: FILE.png, .svg, .pdf or .html.")
    ] = None,
    json: Json = False,
) -> None:
    """Compare studies: hypervolume, what it cost, and whose front attains whose.

    All are measured by the objectives and reference values of the first.

    A front attains a point if one of its own is at least as good in every objective.

    Example: autodepth compare baseline hybrid --to comparison.html
    """
    from autodepth.records.studies import find_study
    from autodepth.report.analysis.comparison import compare_studies
    from autodepth.report.figures.comparison_figure import draw_comparison
    from autodepth.report.figures.sensitivity_figure import check_figure_file

    if to is not None:
        check_figure_file(to)
    comparison = compare_studies([_read(find_study(name)) for name in studies])
    if to is not None:
        draw_comparison(to, comparison)
        say(f"{to} written")
    for note in comparison.notes:
        say(f"note: {note}")
    if json:
        give_json(comparison.to_dict())
    else:
        _print(comparison)


def _read(folder: StudyFolder) -> RecordedStudy:
    from autodepth.records.ledger import Ledger
    from autodepth.report.analysis.comparison import recorded_study

    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        return recorded_study(folder.name, ledger)


def _print(comparison: Comparison) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from autodepth.report.analysis.comparison import SHARES
    from autodepth.units import format_device_time

    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("study", overflow="fold", max_width=_WIDEST_NAME)
    shares = [f"{share:.0%}" for share in SHARES] if comparison.same_device else []
    for name in ("trials", "spent", "front", "hypervol.", *shares):
        table.add_column(name, justify="right", no_wrap=True)
    for study in comparison.studies:
        volumes = study.at_shares if comparison.same_device else ()
        table.add_row(
            Text(study.name),
            str(study.trials),
            format_device_time(study.spent, study.device),
            str(len(study.front)),
            f"{study.hypervolume:.3f}",
            *(f"{volume:.3f}" for volume in volumes),
        )
    console = Console(highlight=False)
    console.print(table)
    if comparison.same_device:
        least = format_device_time(comparison.least_spent, comparison.studies[0].device)
        give(f" hypervolume: in the end, and at shares of {least}, the least spent\n")
    named = {study.name: study for study in comparison.studies}
    for rivalry in comparison.rivalries:
        lines = _told(rivalry, named[rivalry.other] if comparison.same_device else None)
        console.print(Text(f" {rivalry.study} against {rivalry.other}", style="bold"))
        for line in lines:
            console.print(Padding(Text(line), (0, 0, 0, 3), expand=False))


def _told(rivalry: Rivalry, other: ComparedStudy | None) -> list[str]:
    """Describe one study against another; without times where `other` is None."""
    from autodepth.units import format_device_time

    if not rivalry.points:
        return [f"{rivalry.other} has no front yet"]
    lines = [
        f"attains {rivalry.attained} of the {rivalry.points} points of its front, and dominates "
        f"{rivalry.dominated}"
    ]
    if other is None:
        return lines
    target = f"its final hypervolume of {rivalry.target:.3f}"
    if rivalry.reached_after is None:
        return [*lines, f"never reaches {target}"]
    after = format_device_time(rivalry.reached_after, other.device)
    line = f"reaches {target} after {after}"
    if rivalry.speedup is not None:
        took = format_device_time(rivalry.other_after, other.device)
        line += f", {_times(rivalry.speedup)} ({took} there)"
    return [*lines, line]


def _times(speedup: float) -> str:
    if 0.95 < speedup < 1.05:
        return "as soon"
    if speedup > 1:
        return f"{speedup:.1f} times faster"
    return f"{1 / speedup:.1f} times slower"
