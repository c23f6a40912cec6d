"""A heat map of sensitivities: branches across, criteria down."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from autodepth.errors import InputError

FORMATS = (".png", ".svg", ".pdf", ".html")
_MOST = 3.0  # in means; beyond it a branch is plainly needed, and one outlier would hide the rest


def check_figure_file(to: Path) -> None:
    """Raise InputError unless a file's name ends in one of `FORMATS`."""
    if to.suffix.lower() not in FORMATS:
        raise InputError(f"a figure's file must end in {', '.join(FORMATS)}, but got {to}")


def draw_sensitivities(
    to: Path,
    scaled: Mapping[str, Mapping[int, float]],
    stages: Mapping[int, int],
    *,
    title: str,
) -> None:
    """Write the figure, as an image or as a page with the values under the pointer.

    Args:
        to: a file that ends in one of `FORMATS`.
        scaled: by criterion, what each scored branch is worth in means of the network's branches.
        stages: stage of every branch of the network, scored or not.
        title: what stands over it.

    Raises:
        InputError: the file's ending is none of these.
    """
    check_figure_file(to)
    rows = [[scores.get(b, math.nan) for b in sorted(stages)] for scores in scaled.values()]
    to.parent.mkdir(parents=True, exist_ok=True)
    draw = _page if to.suffix.lower() == ".html" else _image
    draw(to, rows, list(scaled), stages, title)


def _image(
    to: Path,
    rows: Sequence[Sequence[float]],
    criteria: Sequence[str],
    stages: Mapping[int, int],
    title: str,
) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415  (a second)

    count = len(stages)
    figure = Figure(figsize=(max(6.0, 2.5 + 0.28 * count), 1.6 + 0.36 * len(rows)), dpi=160)
    axes = figure.add_subplot()
    shown = axes.imshow(rows, aspect="auto", cmap="viridis", vmin=0.0, vmax=_MOST)
    every = max(1, math.ceil(count / 30))
    axes.set_xticks(range(0, count, every), [str(b) for b in sorted(stages)[::every]], fontsize=8)
    axes.set_yticks(range(len(rows)), [name.replace("_", " ") for name in criteria])
    for place, branch in enumerate(sorted(stages)):
        if place and stages[branch] != stages[branch - 1]:
            axes.axvline(place - 0.5, color="white", linewidth=2)
    axes.set_xlabel("branch (white lines part stages)")
    axes.set_title(title, fontsize=10, loc="left")
    bar = figure.colorbar(shown, ax=axes, extend="both", pad=0.02)
    bar.set_label("in means of all branches")
    figure.savefig(to, bbox_inches="tight")


def _page(
    to: Path,
    rows: Sequence[Sequence[float]],
    criteria: Sequence[str],
    stages: Mapping[int, int],
    title: str,
) -> None:
    import plotly.graph_objects as go  # noqa: PLC0415  (half a second)

    branches = sorted(stages)
    figure = go.Figure(
        go.Heatmap(
            z=[list(row) for row in rows],
            x=branches,
            y=[name.replace("_", " ") for name in criteria],
            zmin=0.0,
            zmax=_MOST,
            colorscale="Viridis",
            colorbar={"title": "in means<br>of all branches"},
            customdata=[[stages[b] for b in branches]] * len(rows),
            hovertemplate="branch %{x}, stage %{customdata}<br>%{y}: %{z:.2f}<extra></extra>",
        )
    )
    for branch in branches[1:]:
        if stages[branch] != stages[branch - 1]:
            figure.add_vline(branch - 0.5, line_color="white", line_width=3)
    figure.update_layout(title=title, template="plotly_white", font_size=14)
    figure.update_xaxes(title="branch (white lines part stages)", dtick=max(1, len(branches) // 30))
    figure.update_yaxes(autorange="reversed")
    figure.write_html(to, include_plotlyjs=True, config={"displaylogo": False, "responsive": True})
