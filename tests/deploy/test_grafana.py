"""Grafana's dashboard is one that Grafana takes, and a running study answers all it asks.

Grafana itself is not to be had here: a real Prometheus asks a real search, and answers what each
panel would ask it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from autodepth.study.plan.metric_names import METRICS

from . import compose
from .panels import draw
from .processes import answer, free_ports, started, wait_until

DASHBOARD = json.loads((compose.ROOT / "dashboards" / "grafana" / "autodepth.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
STUDY = "watched"
BUDGET = os.environ.get("AUTODEPTH_WATCHED_BUDGET", "30cpu-min")  # it ends with the test
SETTINGS = ("network.name=resnet14", "data.train_images=96", "data.validation=60", "train.epochs=4")
NEEDS_GPU = {"GPU in use"}


def queries(panel):
    return [target["expr"] for target in panel["targets"]]


def test_the_dashboard_is_what_grafana_takes():
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    assert DASHBOARD["schemaVersion"] >= 39  # Grafana 11
    assert {v["name"]: v["type"] for v in DASHBOARD["templating"]["list"]} == {
        "datasource": "datasource", "study": "query",
    }  # fmt: skip
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_says_what_it_shows_and_asks_the_chosen_source(panel):
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert panel["description"].endswith(".")
    assert panel["type"] in {"gauge", "stat", "timeseries"}
    assert [panel["datasource"], *(t["datasource"] for t in panel["targets"])].count(source) == (
        1 + len(panel["targets"])
    )
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_every_metric_of_a_study_is_shown_and_no_other_is_asked_for():
    asked = {
        name
        for panel in PANELS
        for query in queries(panel)
        for name in re.findall(r"ray_(autodepth_\w+)", query)
    }
    assert asked == set(METRICS)


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A search that runs, and the Prometheus that asks it."""

    prometheus: str

    def ask(self, path, **arguments):
        got = json.loads(answer(f"{self.prometheus}/api/v1/{path}?{urlencode(arguments)}"))
        assert got["status"] == "success"
        return got["data"]


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> Iterator[Watched]:
    if shutil.which("prometheus") is None:
        pytest.skip("no Prometheus here: Debian's package prometheus has it")
    base = tmp_path_factory.mktemp("watched")
    told, asks = free_ports(2)
    config = base / "prometheus.yml"
    config.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "5s"},
                "scrape_configs": [
                    {"job_name": "ray", "static_configs": [{"targets": [f"127.0.0.1:{told}"]}]}
                ],
            }
        )
    )
    environment = {
        **os.environ,
        "AUTODEPTH_HOME": str(base / "studies"),
        "AUTODEPTH_METRICS_PORT": str(told),
    }
    search = [
        str(Path(sys.executable).parent / "autodepth"), "search", "--study", STUDY,
        "--budget", BUDGET, *(word for setting in SETTINGS for word in ("--set", setting)),
    ]  # fmt: skip
    prometheus = [
        "prometheus", f"--config.file={config}", f"--storage.tsdb.path={base / 'series'}",
        f"--web.listen-address=127.0.0.1:{asks}",
    ]  # fmt: skip
    found = Watched(prometheus=f"http://127.0.0.1:{asks}")
    log = base / "search.log"
    with (
        started(prometheus, environment, base / "prometheus.log") as server,
        started(search, environment, log) as process,
    ):
        wait_until(lambda: _ready(found), server, base / "prometheus.log")
        wait_until(lambda: _has_front(found), process, log)
        yield found
        if "AUTODEPTH_PANELS" in os.environ:
            while process.poll() is None:
                time.sleep(1.0)
            draw(found.ask, PANELS, STUDY, Path(os.environ["AUTODEPTH_PANELS"]))


def _ready(found: Watched) -> bool:
    try:
        return b"Ready" in answer(f"{found.prometheus}/-/ready")
    except OSError:
        return False


def _has_front(found: Watched) -> bool:
    """Whether the study has told of a front, and long enough for a rate."""
    query = f'count_over_time(ray_autodepth_best_accuracy{{study="{STUDY}"}}[5m]) > 6'
    return bool(found.ask("query", query=query)["result"])


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_running_study_answers_what_a_panel_asks(panel, watched):
    if panel["title"] in NEEDS_GPU:
        pytest.skip("no GPU here that Ray could tell of")
    for query in queries(panel):
        result = watched.ask("query", query=query.replace("$study", STUDY))["result"]
        assert result, query
        assert all(row["value"][1] != "NaN" for row in result)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_study_can_be_chosen(watched):
    (variable,) = [v for v in DASHBOARD["templating"]["list"] if v["name"] == "study"]
    metric = re.fullmatch(r"label_values\((\w+), study\)", variable["definition"])[1]
    assert watched.ask("label/study/values", **{"match[]": metric}) == [STUDY]
