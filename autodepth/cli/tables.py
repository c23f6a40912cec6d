"""Tables and the small plot of a front, for terminals of 80 columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from autodepth.front.selection import FrontPoint
from autodepth.report.analysis.confirmed import ConfirmedMember
from autodepth.report.lineage import short_origin
from autodepth.report.wording import shorten, shown_filters, shown_spread
from autodepth.space.objectives import LATENCY, place_of
from autodepth.trial.result import OperatingPoint
from autodepth.units import format_macs

# plotille adds the labels of both axes to these.
_PLOT_WIDTH, _PLOT_HEIGHT = 54, 10


def front_table(
    front: Sequence[FrontPoint],
    unpruned_macs: float,
    *,
    rows: int = 0,
    confirmed: Mapping[int, str] | None = None,
) -> Table:
    """Return the front as a table.

    Args:
        front: its points, in the order of their rows.
        unpruned_macs: of the untouched network, for the share.
        rows: at most this many rows, evenly chosen; 0 for all.
        confirmed: accuracy over fresh seeds as text, by trial; None or empty for no such column.
    """
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")
    from_elsewhere = any(short_origin(member.policy) != "parent" for member in front)
    narrower = any(_narrower(member) for member in front) and not from_elsewhere
    leading = front[0].point.column if front else "accuracy"
    timed = _timed(front)
    latencies = [place_of(metric) or "latency" for metric in timed]
    columns = ["trial", leading, "MACs", "share", "params", *latencies, "removed"]
    if confirmed:  # 80 columns hold no more
        columns[1:] = [leading, "confirmed", "MACs", "share", *latencies, "removed"]
    if from_elsewhere:
        columns = [name for name in columns if name != "params"] + ["origin"]
    for name in [*columns, "filters"] if narrower else columns:
        left = name == "removed"
        table.add_column(name, justify="left" if left else "right", no_wrap=not left)
    if rows and len(front) > rows:
        front = [front[round(i * (len(front) - 1) / (rows - 1))] for i in range(rows)]
    for member in front:
        point = member.point
        table.add_row(
            str(member.trial),
            point.shown(),
            *([confirmed.get(member.trial, "-")] if confirmed else []),
            format_macs(point.macs),
            _share(point.macs / unpruned_macs),
            *([] if confirmed or from_elsewhere else [format_macs(point.parameters)]),
            *(f"{point.value(metric):.2f} ms" for metric in timed),
            shorten(member.removed),
            *([short_origin(member.policy)] if from_elsewhere else []),
            *([shown_filters(member.policy, "-")] if narrower else []),
        )
    return table


def _timed(front: Sequence[FrontPoint]) -> list[str]:
    """Return the latencies to show: at the first two places, else on the trial's device."""
    known = front[0].point.elsewhere if front else {}
    return [metric for metric in known if place_of(metric)][:2] or [LATENCY]


def _share(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else f"{share:.1%}"


def _narrower(member: FrontPoint) -> bool:
    """Whether inner channels are gone from its branches."""
    return bool(member.policy.get("filter_sparsity") or member.policy.get("widths"))


def front_plot(
    front: Sequence[FrontPoint], others: Sequence[OperatingPoint], *, colour: bool
) -> Text:
    """Return the leading metric (accuracy) against MACs as a plot of characters.

    Args:
        front: points drawn as the front.
        others: the other complete trials.
        colour: whether the terminal shows colours.
    """
    import plotille

    figure = plotille.Figure()
    figure.width, figure.height = _PLOT_WIDTH, _PLOT_HEIGHT
    figure.with_colors = colour
    unit = front[0].point.unit
    scale, finest, highest = (100.0, 1.0, 100.0) if unit == "%" else (1.0, 1e-9, math.inf)
    figure.x_label, figure.y_label = "M MACs", unit or front[0].point.column
    figure.register_label_formatter(float, _tick)
    ordered = sorted(front, key=lambda p: p.point.macs)
    macs = [p.point.macs / 1e6 for p in ordered]
    measured = [scale * p.point.leading for p in ordered]
    # Points far from the front would press it into one line.
    margin = max(finest, (max(measured) - min(measured)) / 8)
    least, most = min(measured) - margin, min(max(measured) + margin, highest)
    figure.set_y_limits(min_=least, max_=most)
    near = [(p.macs / 1e6, v) for p in others if least <= (v := scale * p.leading) <= most]
    if near:
        figure.scatter([m for m, _ in near], [a for _, a in near], marker="·")
    figure.scatter(macs, measured, marker="●", lc="green")
    return Text.from_ansi(figure.show())


def _tick(value: float, chars: int, delta: float, left: bool = False) -> str:
    """Print an axis label; plotille asks for it with these arguments."""
    text = f"{value:.2f}" if delta < 10 else f"{value:.0f}"
    return text.ljust(chars) if left else text.rjust(chars)


def print_front(members: Sequence[ConfirmedMember], unpruned_macs: float) -> None:
    """Print the front's table on stdout, accuracy on fresh seeds beside it where there is one."""
    confirmed = {
        m.point.trial: shown_spread(m.accuracy, m.point.point.unit) for m in members if m.accuracy
    }
    points = [member.point for member in members]
    Console().print(front_table(points, unpruned_macs, confirmed=confirmed))
