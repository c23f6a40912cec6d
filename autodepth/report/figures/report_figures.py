"""The figures of a report: for its page, and as files for a paper."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autodepth.atomic import write_atomically
from autodepth.errors import InputError
from autodepth.long_work import each
from autodepth.records.trial_record import TrialRecord
from autodepth.report.figures.frame import Points, frame_of
from autodepth.report.figures.front_figure import (
    ACCENT,
    EIGHT_BITS,
    GREEN,
    GREY,
    GRID,
    INK,
    axes_of,
    axis_title,
    axis_unit,
    value,
)
from autodepth.report.study_report import StudyReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 7.2, 4.2  # inches: the text width of most papers' double columns
_FEW = 16  # branches whose numbers can be read within the squares
_MOST = 3.0  # in means; beyond it a branch is plainly needed
FORMATS = ("svg", "png", "pdf")


def report_figures(report: StudyReport) -> dict[str, Figure]:
    """Return the figures there is something to draw for, by name."""
    drawn = {
        "front": _front(report) if any(r.result for r in report.records) else None,
        "hypervolume": _hypervolume(report) if report.curve else None,
        "sensitivity": worth_figure(report.sensitivities),
        "survival": _survival(report) if any(report.survival.values()) else None,
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def as_svg(figure: Figure) -> str:
    """Return a figure as an `svg` element to stand in a page; its text stays text."""
    from matplotlib import rc_context  # noqa: PLC0415  (a second)

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "autodepth"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def write_figures(report: StudyReport, folder: Path, formats: tuple[str, ...]) -> list[Path]:
    """Write every figure of a report in every format, and return the files.

    Raises:
        InputError: a format is none of `FORMATS`.
    """
    if unknown := [name for name in formats if name not in FORMATS]:
        raise InputError(f"a figure's format must be one of {', '.join(FORMATS)}: {unknown[0]}")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    drawn = report_figures(report).items()
    for name, figure in each(drawn, "writing figures", len(drawn)):
        for ending in formats:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=ending, dpi=200)
            written.append(folder / f"{name}.{ending}")
            write_atomically(written[-1], buffer.getvalue())
    return written


def _figure(height: float = _HEIGHT) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure  # noqa: PLC0415  (a second)

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _front(report: StudyReport) -> Figure:
    x, y = axes_of(report.study.objectives)
    searched = [r for r in report.records if r.result is not None and r.of_search]
    members = {member.point.trial for member in report.members}
    figure, axes = _figure()

    def points(records: list[TrialRecord]) -> Points:
        return [value(record, x) for record in records], [value(record, y) for record in records]

    others = [r for r in searched if r.number not in members and r.kind != "unpruned"]
    axes.plot(*points(others), "o", color=GREY, markersize=4, alpha=0.7, label="dominated")
    front = sorted((r for r in searched if r.number in members), key=lambda r: value(r, x))
    # Of more objectives than the two drawn the front is no line.
    line = "o-" if len(report.study.objectives) == 2 else "o"
    axes.plot(*points(front), line, color=ACCENT, drawstyle="steps-post", label="front, as found")
    sure = []
    if y in {member.point.point.metric for member in report.members}:
        sure = _confirmed(axes, report, x, axis_unit(y))
    whole = [] if report.unpruned is None else [report.unpruned]
    if whole:
        axes.plot(*points(whole), "D", color=INK, fillstyle="none", markersize=9, label="unpruned")
    if eight := [r for r in searched if r.in_eight_bits]:
        axes.plot(
            *points(eight), "s", color=GREEN, fillstyle="none", markersize=9, label=EIGHT_BITS
        )
    if front or whole:
        across, up = points([*front, *whole])
        _frame(axes, (across, [*up, *sure]), points(searched))
    axes.set_xlabel(axis_title(x))
    axes.set_ylabel(axis_title(y))
    axes.legend(frameon=False, fontsize=8)
    return figure


def _frame(axes: Axes, matter: Points, every: Points) -> None:
    """Show where the front is; what lies beyond is marked at the border."""
    across, up = frame_of(matter, every)
    if across.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(across.low, across.high)
    axes.set_ylim(up.low, up.high)
    held = [
        (point, (across.held(point[0]), up.held(point[1]))) for point in zip(*every, strict=True)
    ]
    if beyond := [at for point, at in held if at != point]:
        axes.plot(
            *zip(*beyond, strict=True), "x", color=GREY, markersize=5, clip_on=False,
            label=f"beyond the border: {len(beyond)}",
        )  # fmt: skip


def _confirmed(axes: Axes, report: StudyReport, x: str, unit: float) -> list[float]:
    """Draw what fresh seeds say of members, mean and one standard deviation; return its ends."""
    by_number = {record.number: record for record in report.records}
    told = [(by_number[m.point.trial], m.accuracy) for m in report.members if m.accuracy]
    if told:
        axes.errorbar(
            [value(record, x) for record, _ in told],
            [unit * spread.mean for _, spread in told],
            yerr=[unit * (spread.sd or 0.0) for _, spread in told],
            fmt="s", color="#d55e00", markersize=5, capsize=3, label="on fresh seeds, mean and sd",
        )  # fmt: skip
    ends = [spread.mean + sign * (spread.sd or 0.0) for _, spread in told for sign in (-1, 1)]
    return [unit * end for end in ends]


def _hypervolume(report: StudyReport) -> Figure:
    figure, axes = _figure(3.0)
    times = [0.0, *(at for at, _ in report.curve), report.status.spent_device_seconds]
    volumes = [0.0, *(volume for _, volume in report.curve), report.curve[-1][1]]
    axes.step([at / 60 for at in times], volumes, where="post", color=ACCENT)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"device time ({report.status.device}-min)")
    axes.set_ylabel("hypervolume, relative")
    return figure


def worth_figure(sensitivities: Mapping[str, Mapping[int, float]]) -> Figure | None:
    """Return a heat map of what branches are worth, criteria down; None where none was scored."""
    rows = {name: scores for name, scores in sensitivities.items() if scores}
    if not rows:
        return None
    branches = sorted({b for scores in rows.values() for b in scores})
    figure, axes = _figure(1.3 + 0.4 * len(rows))
    axes.grid(visible=False)
    nan = float("nan")
    shown = axes.imshow(
        [[scores.get(branch, nan) for branch in branches] for scores in rows.values()],
        aspect="auto", cmap="viridis", vmin=0.0, vmax=_MOST,
    )  # fmt: skip
    if len(branches) <= _FEW:
        for line, scores in enumerate(rows.values()):
            for place, branch in enumerate(branches):
                if branch in scores:
                    bright = scores[branch] > 0.6 * _MOST
                    axes.text(
                        place, line, f"{scores[branch]:.2f}", ha="center", va="center",
                        fontsize=8, color="black" if bright else "white",
                    )  # fmt: skip
    every = max(1, -(-len(branches) // 30))
    axes.set_xticks(range(0, len(branches), every), [str(b) for b in branches[::every]])
    axes.set_yticks(range(len(rows)), [name.replace("_", " ") for name in rows])
    axes.set_xlabel("branch")
    figure.colorbar(shown, ax=axes, extend="both").set_label("in means")
    return figure


def _survival(report: StudyReport) -> Figure:
    figure, axes = _figure(3.0)
    profiles: Mapping[tuple[float, ...], list[int]] = _by_profile(report.survival)
    for profile, trials in profiles.items():
        label = "trial " + ", ".join(map(str, trials[:6])) + (" ..." if len(trials) > 6 else "")
        axes.plot(range(1, len(profile) + 1), profile, "o-", markersize=3, label=label)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("branch")
    axes.set_ylabel("survival probability")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _by_profile(survival: Mapping[int, tuple[float, ...]]) -> dict[tuple[float, ...], list[int]]:
    found: dict[tuple[float, ...], list[int]] = {}
    for trial, profile in survival.items():
        if profile:
            found.setdefault(profile, []).append(trial)
    return found
