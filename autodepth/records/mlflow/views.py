"""The charts that MLflow shows for a study first: one tag of the experiment.

MLflow keeps a shared view of its experiment page under a tag, as compressed JSON of that page's
state (3.17: `ExperimentPageUIState`). The format is not documented: a version that reads it
otherwise shows its own charts instead, and nothing else depends on it.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

KEY = "autodepth"
TAG = f"mlflow.sharedViewState.{KEY}"
_MACS = "macs_m"
_COLUMNS = (_MACS, "params_m", "latency_ms", "size_mb", "on_front")
_REMOVING = ("sensitivity_threshold", "branches_removed", "macs_target", "filter_sparsity")
_MOST_AXES = 7  # more do not fit beside each other
_MOST_RUNS = 1000
_SECTION = "autodepth-front"
# Without it MLflow 3.17 takes every experiment for one of language models, whose page is empty.
_WORKFLOW = "workflowType=machine_learning"


def view_tag(plan: Mapping[str, Any]) -> str:
    """Return the tag's value: a scatter of the front, parallel coordinates and a contour.

    Args:
        plan: the study's; its space says which parameters vary.
    """
    varied = _varied(plan.get("space", {}))
    metrics = plan.get("task", {}).get("metrics", {"accuracy": None})
    leading = f"final_{next(iter(metrics))}"
    charts = [
        _chart("scatter", "SCATTER", xaxis=_metric(_MACS), yaxis=_metric(leading)),
        _chart(
            "parallel",
            "PARALLEL",
            selectedParams=varied,
            selectedMetrics=[_MACS, leading],
            showAllRuns=True,
        ),
    ]
    # Parents are few: what shapes them takes too few values for a contour.
    if by_trial := [name for name in varied if name.split(".")[0] in _REMOVING]:
        axis = {"key": by_trial[0], "type": "PARAM"}
        charts.append(
            _chart("contour", "CONTOUR", xaxis=axis, yaxis=_metric(_MACS), zaxis=_metric(leading))
        )
    state = {
        "compareRunCharts": charts,
        "compareRunSections": [
            {
                "uuid": _SECTION,
                "name": "front",
                "display": True,
                "isReordered": False,
                "columns": 1,  # three abreast leave an axis no room for its name
                "cardHeight": 340,
            }
        ],
        "isAccordionReordered": False,
        "selectedColumns": [
            *(f"metrics.`{name}`" for name in (leading, *_COLUMNS)),
            *(f"params.`{name}`" for name in varied),
        ],
        "runsHiddenMode": "SHOW_ALL",
        # 100 runs are loaded at a time: so the front is among them.
        "orderByKey": "metrics.`on_front`",
        "orderByAsc": False,
    }
    packed = zlib.compress(json.dumps(state, separators=(",", ":")).encode())
    return "deflate;" + base64.b64encode(packed).decode()


def view_link(experiment: str) -> str:
    """Return where the view opens, relative to the server's address."""
    return (
        f"#/experiments/{experiment}/runs?{_WORKFLOW}&compareRunsMode=CHART&viewStateShareKey={KEY}"
    )


def charts_address(server: str, experiment: str) -> str:
    """Return the whole address of the view.

    Args:
        server: its address, with or without a slash at the end; no password.
        experiment: its id.
    """
    return f"{server.rstrip('/')}/{view_link(experiment)}"


def files_link(experiment: str, run: str) -> str:
    """Return where the files of a run are seen, relative to the server's address."""
    return f"#/experiments/{experiment}/runs/{run}/artifacts?{_WORKFLOW}"


def _varied(space: Mapping[str, Any]) -> list[str]:
    """Return the parameters that differ between trials, by the names of their runs."""
    found: list[str] = []
    for section, prefix in (("search", ""), ("train", "train.")):
        for name, setting in space.get(section, {}).items():
            if isinstance(setting, Mapping):
                # One threshold per stage is logged as so many parameters: the first stands here.
                per_part = setting.get("per", "network") != "network"
                found.append(f"{prefix}{name}" + (".1" if per_part else ""))
    return found[: _MOST_AXES - 2]


def _metric(key: str) -> dict[str, str]:
    return {"key": key, "type": "METRIC"}


def _chart(name: str, kind: str, **settings: Any) -> dict[str, Any]:
    return {
        "uuid": f"{_SECTION}-{name}",
        "type": kind,
        "metricSectionId": _SECTION,
        "runsCountToCompare": _MOST_RUNS,
        "deleted": False,
        "isGenerated": False,
        **settings,
    }
