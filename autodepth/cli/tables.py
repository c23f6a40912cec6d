"""Tables and the small plot of a front, for terminals of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from autodepth.front.selection import FrontPoint
from autodepth.units import format_macs

_PLOT_WIDTH, _PLOT_HEIGHT = 78, 12


def front_table(front: Sequence[FrontPoint], unpruned_macs: float, *, rows: int = 0) -> Table:
    """Return the front as a table, the most accurate first.

    Args:
        front: its points.
        unpruned_macs: of the untouched network, for the share.
        rows: at most this many rows, evenly chosen; 0 for all.
    """
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("trial", "accuracy", "MACs", "of unpruned", "params", "latency", "removed"):
        table.add_column(name, justify="left" if name == "removed" else "right")
    ordered = sorted(front, key=lambda p: (-p.point.validation_accuracy, p.point.macs))
    if rows and len(ordered) > rows:
        ordered = [ordered[round(i * (len(ordered) - 1) / (rows - 1))] for i in range(rows)]
    for member in ordered:
        point = member.point
        table.add_row(
            str(member.trial),
            f"{point.validation_accuracy:.1%}",
            format_macs(point.macs),
            f"{point.macs / unpruned_macs:.0%}",
            format_macs(point.parameters),
            f"{point.latency_ms:.2f} ms",
            shorten(member.removed),
        )
    return table


def shorten(numbers: Sequence[int]) -> str:
    """Print branch numbers with runs joined: `1-3 5`; a dash for none."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return " ".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs) or "-"


def front_plot(
    front: Sequence[FrontPoint], others: Sequence[tuple[float, float]], *, colour: bool
) -> Text:
    """Return accuracy against MACs as a plot of characters.

    Args:
        front: points drawn as the front.
        others: (MACs, accuracy) of the other complete trials.
        colour: whether the terminal shows colours.
    """
    import plotext  # noqa: PLC0415 - only where something is plotted

    plotext.clear_figure()
    plotext.plot_size(_PLOT_WIDTH, _PLOT_HEIGHT)
    plotext.theme("clear" if not colour else "pro")
    if others:
        plotext.scatter(
            [macs / 1e6 for macs, _ in others],
            [100 * accuracy for _, accuracy in others],
            marker="·",
            color="gray",
        )
    ordered = sorted(front, key=lambda p: p.point.macs)
    plotext.scatter(
        [p.point.macs / 1e6 for p in ordered],
        [100 * p.point.validation_accuracy for p in ordered],
        marker="●",
        color="green",
    )
    plotext.title("validation accuracy (%) against million MACs")
    return Text.from_ansi(plotext.build())


def print_front(front: Sequence[FrontPoint], unpruned_macs: float) -> None:
    """Print the front's table on stdout."""
    Console().print(front_table(front, unpruned_macs))
