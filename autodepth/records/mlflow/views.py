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

from autodepth.policy.settings import SETTINGS
from autodepth.records.mlflow.payload import REMAINING

KEY = "autodepth"
TAG = f"mlflow.sharedViewState.{KEY}"
_MACS = "macs_m"
_COLUMNS = (_MACS, REMAINING, "params_m", "latency_ms", "size_mb", "on_front")
_MOST_AXES = 6  # more do not fit beside each other
_MEASURED = [REMAINING, _MACS]
_MOST_RUNS = 1000
_SECTION = "autodepth-front"
# Without it MLflow 3.17 takes every experiment for one of language models, whose page is empty.
_WORKFLOW = "workflowType=machine_learning"


def view_tag(plan: Mapping[str, Any]) -> str:
    """Return the tag's value: a scatter of the front, parallel coordinates and a contour.

    Args:
        plan: the study's; its space says which parameters vary.
    """
    searched = _searched(plan.get("space", {}))
    metrics = plan.get("task", {}).get("metrics", {"accuracy": None})
    leading = f"final_{next(iter(metrics))}"
    charts = [
        _chart("scatter", "SCATTER", xaxis=_metric(_MACS), yaxis=_metric(leading)),
        _chart(
            "parallel",
            "PARALLEL",
            selectedParams=_axes(searched),
            selectedMetrics=[*_MEASURED, leading],
            showAllRuns=True,
        ),
        _chart(
            "contour",
            "CONTOUR",
            xaxis=_metric(REMAINING),
            yaxis=_metric(_MACS),
            zaxis=_metric(leading),
        ),
    ]
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
            *(f"params.`{name}`" for name in searched),
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


def _searched(space: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what is searched, by the names of parameters: of one per stage the first stands."""
    return {
        prefix + name + ("" if _for_network(setting) else ".1"): setting
        for section, prefix in (("search", ""), ("train", "train."))
        for name, setting in space.get(section, {}).items()
        if isinstance(setting, Mapping)
    }


def _axes(searched: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the parameters that every run has, as numbers or names.

    MLflow leaves runs out of parallel coordinates that lack one of them, and hides the chart where
    all do. So it has none that only some policies have, such as one threshold per stage.
    """
    nullable = {name for name, setting in SETTINGS.items() if setting.nullable}
    found = [n for n, setting in searched.items() if _for_network(setting) and n not in nullable]
    return found[: _MOST_AXES - len(_MEASURED) - 1]


def _for_network(setting: Mapping[str, Any]) -> bool:
    return bool(setting.get("per", "network") == "network")


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
