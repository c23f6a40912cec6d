"""The data of every panel of Grafana's dashboard as a picture, as Prometheus answers it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Series = tuple[str, list[float], list[float]]  # its legend, seconds since 1970, values
_COLUMNS = 3
_BEFORE_SECONDS = 1800


def draw(
    ask: Callable[..., Mapping[str, Any]],
    panels: Sequence[Mapping[str, Any]],
    study: str,
    file: Path,
) -> None:
    """Ask what each panel asks, over the last half hour, and draw it.

    Args:
        ask: asks Prometheus.
        panels: of the dashboard.
        study: the study that is chosen.
        file: where the PNG goes.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    now = time.time()
    found = {panel["title"]: _series(ask, panel, study, now) for panel in panels}
    begun = min(t for series in found.values() for _, times, _ in series for t in times)
    rows = math.ceil(len(panels) / _COLUMNS)
    figure, axes = plt.subplots(rows, _COLUMNS, figsize=(15, 2.7 * rows), layout="constrained")
    for axis, panel in zip(axes.flat, panels, strict=False):
        percent = panel["fieldConfig"]["defaults"]["unit"] == "percentunit"
        for legend, times, values in found[panel["title"]]:
            scale = 100.0 if percent else 1.0
            seconds = [moment - begun for moment in times]
            axis.step(seconds, [v * scale for v in values], where="post", label=legend)
        axis.set_title(panel["title"] + (" (%)" if percent else ""), fontsize=10)
        axis.tick_params(labelsize=8)
        if axis.lines:
            axis.legend(fontsize=7, loc="best")
        else:
            axis.text(0.5, 0.5, "no data: no GPU", ha="center", transform=axis.transAxes)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis in axes[-1]:
        axis.set_xlabel("seconds", fontsize=8)
    figure.savefig(file, dpi=80)
    plt.close(figure)


def _series(
    ask: Callable[..., Mapping[str, Any]], panel: Mapping[str, Any], study: str, now: float
) -> list[Series]:
    found = []
    for target in panel["targets"]:
        query = target["expr"].replace("$study", study)
        data = ask("query_range", query=query, start=now - _BEFORE_SECONDS, end=now, step=5)
        for row in data["result"]:
            legend = re.sub(
                r"\{\{(\w+)\}\}",
                lambda m, of=row["metric"]: of.get(m[1], ""),
                target["legendFormat"],
            )
            times = [float(moment) for moment, _ in row["values"]]
            found.append((legend, times, [float(value) for _, value in row["values"]]))
    return found
