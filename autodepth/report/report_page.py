"""A report on a study as one file that opens anywhere, offline, and prints."""

from __future__ import annotations

from pathlib import Path

from autodepth.atomic import write_atomically
from autodepth.errors import InputError
from autodepth.long_work import each, long_work
from autodepth.report.analysis.confirmed import ConfirmedMember, Replicates
from autodepth.report.figures.pdf import pdf_of
from autodepth.report.figures.report_figures import as_svg, report_figures
from autodepth.report.lineage import lineage, shown_lineage
from autodepth.report.study_report import StudyReport
from autodepth.report.wording import shorten, shown_difference, shown_filters, shown_spread
from autodepth.space.file.yaml_text import write_yaml
from autodepth.units import format_device_time, format_macs
from autodepth.version import __version__

Rows = list[tuple[str, ...]]


def write_report(report: StudyReport, to: Path) -> None:
    """Write a report as a page, or that page printed.

    Raises:
        InputError: the file's name ends neither in .html nor in .pdf, or nothing here prints.
    """
    ending = to.suffix.lower()
    if ending not in {".html", ".pdf"}:
        raise InputError(f"a report's file must end in .html or .pdf, but got {to}")
    to.parent.mkdir(parents=True, exist_ok=True)
    page = report_html(report)
    if ending == ".html":
        write_atomically(to, page)
        return
    with long_work("printing the page"):
        write_atomically(to, pdf_of(page))


def report_html(report: StudyReport) -> str:
    """Return the page; it holds all it needs and asks no other host for anything."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        loader=PackageLoader("autodepth", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    status, drawn = report.status, report_figures(report).items()
    return environment.get_template("report.html.jinja").render(
        report=report,
        version=__version__,
        figures={name: as_svg(figure) for name, figure in each(drawn, "drawing", len(drawn))},
        complete=sum(r.result is not None and r.of_search for r in report.records),
        front=[_front_row(member, report) for member in report.members],
        controls=[row for member in report.members for row in _control_rows(member)],
        spent=format_device_time(status.spent_device_seconds, status.device),
        spending=_spending(report),
        parents=", ".join(f"{n} parents by {name}" for name, n in report.parents.items()),
        importance=[
            (d.name, f"{d.mean:.2f}", f"{d.sd:.2f}", f"{d.low:+.2f} to {d.high:+.2f}")
            for d in report.importance.dimensions
        ],
        objectives=", ".join(f"{o.goal} {o.name}" for o in report.study.objectives),
        unpruned_macs=f"{report.unpruned_macs:,.0f}",
        space=write_yaml(report.plan["space"]),
    )


def _front_row(member: ConfirmedMember, report: StudyReport) -> tuple[str, ...]:
    point = member.point.point
    steps = lineage(report.records[member.point.trial], report.records.__getitem__)
    return (
        str(member.point.trial),
        point.shown(digits=2),
        shown_spread(member.accuracy, point.unit) if member.accuracy else "-",
        f"{point.macs:,}",
        f"{point.macs / report.unpruned_macs:.1%}",
        f"{point.parameters:,}",
        f"{point.latency_ms:.2f} ms",
        shown_lineage(steps),
        shorten(member.point.removed),
        shown_filters(member.point.policy),
    )


def _control_rows(member: ConfirmedMember) -> Rows:
    if not member.controls:
        return []
    unit = member.point.point.unit
    itself = (str(member.point.trial), "itself", *_replicates(member.replicates, unit), "", "", "")
    beside = [
        ("", c.role, *_replicates(c.replicates, unit), *shown_difference(c.comparison, unit))
        for c in member.controls
    ]
    return [itself, *beside]


def _replicates(replicates: Replicates, unit: str) -> tuple[str, str]:
    failed = f"{replicates.failed} failed" if replicates.failed else ""
    if replicates.accuracy is None or replicates.macs is None:
        return failed or "-", "-"
    told = f"{shown_spread(replicates.accuracy, unit)} {failed}".strip()
    return told, format_macs(replicates.macs)


def _spending(report: StudyReport) -> Rows:
    whole = sum(report.status.spending.values())
    return [
        (stage.replace("_", "-"), f"{seconds:,.1f}", f"{seconds / whole:.0%}" if whole else "-")
        for stage, seconds in report.status.spending.items()
    ]
