"""Studies side by side as a figure: hypervolume over device time, and the fronts."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autodepth.front.objective import Objective
from autodepth.report.analysis.comparison import ComparedStudy, Comparison
from autodepth.report.figures.front_figure import GREY, GRID, INK, axes_of, axis_title, axis_unit
from autodepth.report.figures.sensitivity_figure import check_figure_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Told apart by people of any colour vision (Wong 2011, doi 10.1038/nmeth.1618).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_LEFT = "hypervolume, relative"


def draw_comparison(to: Path, comparison: Comparison) -> None:
    """Write the figure, as an image or as a page with the values under the pointer.

    Args:
        to: a file that ends in .png, .svg, .pdf or .html.
        comparison: what to draw.

    Raises:
        InputError: the file's ending is none of these.
    """
    check_figure_file(to)
    to.parent.mkdir(parents=True, exist_ok=True)
    (_page if to.suffix.lower() == ".html" else _image)(to, comparison)


def steps(study: ComparedStudy) -> tuple[list[float], list[float]]:
    """Return device minutes and hypervolume from the start of a study to its end.

    The value holds until the next time; it is drawn as steps.
    """
    times = [0.0, *(at for at, _ in study.curve), study.spent]
    volumes = [0.0, *(volume for _, volume in study.curve), study.hypervolume]
    return [at / 60 for at in times], volumes


def front_line(
    study: ComparedStudy, objectives: Sequence[Objective]
) -> tuple[list[float], list[float]]:
    """Return a front in the units its axes show, from left to right."""
    names = [objective.name for objective in objectives]
    across, up = (names.index(name) for name in _axes(objectives))
    points = sorted(
        (values[across] * axis_unit(names[across]), values[up] * axis_unit(names[up]))
        for values in study.front
    )
    return [x for x, _ in points], [y for _, y in points]


def _axes(objectives: Sequence[Objective]) -> tuple[str, str]:
    """Return what lies across and what stands up, both of them objectives."""
    names = [objective.name for objective in objectives]
    across, up = axes_of(objectives)
    return (across if across in names else names[0]), (up if up in names else names[-1])


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]


def _image(to: Path, comparison: Comparison) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415  (a second)

    figure = Figure(figsize=(11, 4.6), dpi=140, layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, study in enumerate(comparison.studies):
        style = {"color": _colour(place), "label": study.name}
        left.step(*steps(study), where="post", **style)
        drawn = "steps-post" if len(comparison.objectives) == 2 else "default"
        line = "-" if len(comparison.objectives) == 2 else ""
        points = front_line(study, comparison.objectives)
        right.plot(*points, line, marker="o", markersize=5, drawstyle=drawn, **style)
    across, up = _axes(comparison.objectives)
    _label(left, _time(comparison), _LEFT)
    _label(right, axis_title(across), axis_title(up))
    left.legend(frameon=False, fontsize=9)
    figure.savefig(to)


def _label(axes: Axes, across: str, up: str) -> None:
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(color=GRID)
    axes.spines[["top", "right"]].set_visible(False)


def _page(to: Path, comparison: Comparison) -> None:
    import plotly.graph_objects as go  # noqa: PLC0415  (half a second)
    from plotly.subplots import make_subplots  # noqa: PLC0415

    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.1)
    for place, study in enumerate(comparison.studies):
        name = html.escape(study.name)
        line = {"color": _colour(place), "width": 2, "shape": "hv"}
        times, volumes = steps(study)
        common = {"name": name, "legendgroup": name, "line": line}
        figure.add_trace(go.Scatter(x=times, y=volumes, mode="lines", **common), row=1, col=1)
        mode = "lines+markers" if len(comparison.objectives) == 2 else "markers"
        x, y = front_line(study, comparison.objectives)
        figure.add_trace(
            go.Scatter(x=x, y=y, mode=mode, marker={"size": 9}, showlegend=False, **common),
            row=1,
            col=2,
        )
    across, up = _axes(comparison.objectives)
    figure.update_xaxes(gridcolor=GRID, linecolor=GREY, zeroline=False)
    figure.update_yaxes(gridcolor=GRID, linecolor=GREY, zeroline=False)
    figure.update_xaxes(title_text=_time(comparison), row=1, col=1)
    figure.update_yaxes(title_text=_LEFT, row=1, col=1)
    figure.update_xaxes(title_text=axis_title(across), row=1, col=2)
    figure.update_yaxes(title_text=axis_title(up), row=1, col=2)
    figure.update_layout(
        font={"family": "system-ui, sans-serif", "size": 14, "color": INK},
        plot_bgcolor="white",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
    figure.write_html(to, include_plotlyjs=True, config={"displaylogo": False, "responsive": True})


def _time(comparison: Comparison) -> str:
    devices = sorted({study.device for study in comparison.studies})
    return f"device time ({' and '.join(f'{device}-min' for device in devices)})"
