"""The figure of a front as one file that opens anywhere, offline."""

from __future__ import annotations

import html
from collections.abc import Sequence

from autodepth.front.objective import Objective
from autodepth.front.selection import FrontPoint
from autodepth.records.trial_record import TrialRecord, front_of
from autodepth.report.figures.front_figure import front_figure
from autodepth.report.wording import shown_filters
from autodepth.units import format_macs

_STYLE = """
body { margin: 0 auto; max-width: 1180px; padding: 16px; color: #1f2933; background: white;
       font: 15px/1.5 system-ui, sans-serif; }
#figure { height: clamp(360px, 65vh, 640px); }
h1 { font-size: 1.4rem; margin: 0; overflow-wrap: anywhere; }
h1 + p { margin: 4px 0 8px; color: #52606d; }
.scroll { overflow-x: auto; margin-top: 16px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 6px clamp(5px, 1vw, 12px); text-align: right; white-space: nowrap;
         border-bottom: 1px solid #e8ebef; }
th { font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
"""
_COLUMNS = (
    "trial",
    "accuracy",
    "MACs",
    "of unpruned",
    "parameters",
    "latency",
    "branches removed",
    "filters removed",
)


def front_html(records: Sequence[TrialRecord], objectives: Sequence[Objective], study: str) -> str:
    """Return a page with the figure and the table of the front.

    It holds all it needs, plotly.js too (5 MB), and asks no other host for anything.

    Args:
        records: trials in any state.
        objectives: what the front is taken by.
        study: the study's name.
    """
    figure = front_figure(records, objectives).to_html(
        full_html=False,
        include_plotlyjs=True,
        default_height="100%",
        div_id="front",
        config={"responsive": True, "displaylogo": False, "modeBarButtons": [["toImage"]]},
    )
    complete = [record for record in records if record.result]
    front = sorted(front_of(complete, objectives), key=lambda member: member.point.macs)
    title = html.escape(study)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}: front</title><style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f"<p>{len(front)} of {len(complete)} complete trials are on the front: no other is better "
        "in one objective without being worse in another.</p>"
        f'<div id="figure">{figure}</div>{_table(front, complete) if front else ""}'
        "</body></html>\n"
    )


def _table(front: Sequence[FrontPoint], complete: Sequence[TrialRecord]) -> str:
    unpruned = [r.result.point.macs for r in complete if r.kind == "unpruned" and r.result]
    columns = (_COLUMNS[0], front[0].point.column, *_COLUMNS[2:])
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    rows = "".join(_row(member, unpruned[0] if unpruned else None) for member in front)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        "</div>"
    )


def _row(member: FrontPoint, unpruned_macs: int | None) -> str:
    point = member.point
    cells = (
        str(member.trial),
        point.shown(digits=2),
        format_macs(point.macs),
        f"{point.macs / unpruned_macs:.0%}" if unpruned_macs else "",
        format_macs(point.parameters),
        f"{point.latency_ms:.2f} ms",
        str(len(member.removed)),
        shown_filters(member.policy),
    )
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
