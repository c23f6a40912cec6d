"""The front of a study as a figure: every trial, the ones no other dominates, the unpruned one."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autodepth.front.objective import Objective
from autodepth.records.mlflow.payload import params
from autodepth.records.trial_record import TrialRecord, front_of
from autodepth.report.figures.frame import frame_of
from autodepth.space.objectives import is_cost, is_of_task, place_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure, Scatter

ACCENT, GREY, INK, GRID = "#0b63ce", "#aab2bd", "#1f2933", "#e8ebef"
GREEN = "#009e73"
EIGHT_BITS = "in eight bits"
_METRICS = {  # name -> what an axis says, and what a value is multiplied by
    "validation_accuracy": ("validation accuracy (%)", 100.0),
    "validation_loss": ("validation loss", 1.0),
    "macs": ("MACs per image (M)", 1e-6),
    "parameters": ("parameters (M)", 1e-6),
    "effective_macs": ("MACs with a weight that is not zero (M)", 1e-6),
    "size_bytes": ("weights file (MB)", 1e-6),
    "latency_ms": ("latency of one image (ms)", 1.0),
    "peak_memory_mb": ("peak memory of activations, one image (MB)", 1.0),
}


def front_figure(records: Sequence[TrialRecord], objectives: Sequence[Objective]) -> Figure:
    """Draw the complete trials of a study.

    The first maximised objective stands upright over the first minimised one; accuracy over MACs
    where there is none.

    Args:
        records: trials in any state; those without a result are left out.
        objectives: what the front is taken by.
    """
    import plotly.graph_objects as go  # noqa: PLC0415  (half a second)

    x, y = axes_of(objectives)
    complete = [r for r in records if r.result is not None and r.result.point.knows((x, y))]
    members = {point.trial for point in front_of(complete, objectives)}
    front = [record for record in complete if record.number in members]
    front.sort(key=lambda record: (value(record, x), value(record, y)))
    # "hv": between two members, the best to be had at a cost is the cheaper member's.
    line = {"color": ACCENT, "width": 2, "shape": "hv"} if len(objectives) == 2 else None
    figure = go.Figure(
        [
            _trace(
                [record for record in complete if record.number not in members],
                (x, y),
                name="dominated",
                marker={"color": GREY, "size": 8, "opacity": 0.7},
            ),
            _trace(
                front,
                (x, y),
                name="front",
                mode="lines+markers" if line else "markers",
                line=line,
                marker={"color": ACCENT, "size": 11, "line": {"color": "white", "width": 1.5}},
            ),
            _trace(
                [record for record in complete if record.kind == "unpruned"],
                (x, y),
                name="unpruned",
                marker={"color": INK, "size": 15, "symbol": "diamond-open", "line": {"width": 2}},
            ),
            *(
                _trace(
                    few,
                    (x, y),
                    name=EIGHT_BITS,
                    marker={"color": GREEN, "size": 15, "symbol": "square-open"},
                )
                for few in [[record for record in complete if record.in_eight_bits]]
                if few
            ),
        ]
    )
    axis = {
        "visible": bool(complete),
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": GREY,
        "automargin": True,
    }
    frame: dict[str, Any] = {"x": {}, "y": {}}
    if matter := [*front, *(record for record in complete if record.kind == "unpruned")]:
        of_matter, of_all = (
            ([value(r, x) for r in records], [value(r, y) for r in records])
            for records in (matter, complete)
        )
        across, up = frame_of(of_matter, of_all)
        frame["x"] = {"type": "log" if across.log else "linear", "range": across.exponents}
        frame["y"] = {"range": up.exponents}
    figure.update_layout(
        xaxis={**axis, "title": {"text": axis_title(x)}, **frame["x"]},
        yaxis={**axis, "title": {"text": axis_title(y)}, **frame["y"]},
        font={"family": "system-ui, sans-serif", "size": 14, "color": INK},
        plot_bgcolor="white",
        hoverlabel={"bgcolor": "white", "bordercolor": GREY, "align": "left"},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
        margin={"l": 10, "r": 20, "t": 50, "b": 10},
    )
    if not complete:
        figure.add_annotation(text="no trial has completed yet", showarrow=False)
    return figure


def value(record: TrialRecord, metric: str) -> float:
    """Return a metric of a complete trial in the unit its axis shows."""
    assert record.result is not None
    return record.result.point.value(metric) * axis_unit(metric)


def axis_title(metric: str) -> str:
    """Return what an axis of a metric says, its unit included."""
    if place := place_of(metric):
        return f"latency at {place} (ms)"
    return _METRICS[metric][0] if metric in _METRICS else metric


def axis_unit(metric: str) -> float:
    """Return what a metric is multiplied by to be in the unit of its axis."""
    return _METRICS[metric][1] if metric in _METRICS else 1.0


def axes_of(objectives: Sequence[Objective]) -> tuple[str, str]:
    """Return the metrics that lie across and stand up in a figure of a front."""
    measured = [objective for objective in objectives if not is_cost(objective.name)]
    costs = [o.name for o in objectives if o.goal == "minimize" and not is_of_task(o.name)]
    gains = [o.name for o in measured if o.goal == "maximize" or is_of_task(o.name)]
    return [*costs, "macs"][0], [*gains, "validation_accuracy"][0]


def _trace(
    records: Sequence[TrialRecord], axes: tuple[str, str], *, mode: str = "markers", **style: Any
) -> Scatter:
    import plotly.graph_objects as go  # noqa: PLC0415

    return go.Scatter(
        x=[value(record, axes[0]) for record in records],
        y=[value(record, axes[1]) for record in records],
        text=[_hover(record) for record in records],
        hovertemplate="%{text}<extra></extra>",
        mode=mode,
        **style,
    )


def _hover(record: TrialRecord) -> str:
    assert record.result is not None
    point = record.result.point
    removed = " ".join(map(str, record.result.removed)) or "none"
    lines = [
        f"{point.shown(digits=2)} {point.metric_in_words}",
        f"{point.macs / 1e6:.2f} M MACs, {point.parameters / 1e6:.3f} M parameters",
        f"{point.latency_ms:.2f} ms, {point.size_bytes / 1e6:.2f} MB",
        f"removed branches: {removed}",
        *(f"{name} = {text}" for name, text in params(record.point).items()),
    ]
    unpruned = " (unpruned)" if record.kind == "unpruned" else ""
    return "<br>".join([f"<b>trial {record.number}</b>{unpruned}", *map(html.escape, lines)])
