"""MLflow's own pages, a real server and a real browser: what a finished study shows there."""

from __future__ import annotations

import json
import subprocess
import sys
from urllib.parse import quote

import pytest
from mlflow.tracking import MlflowClient
from mlflow_thousand import mlflow_server, three_charts
from scale import measure

from autodepth.records.ledger import Ledger
from autodepth.records.mlflow.payload import FRONT_COLOUR
from autodepth.records.mlflow.sync import sync_study
from autodepth.records.mlflow.views import view_link
from autodepth.records.studies import StudyFolder, find_study
from autodepth.report.study_files import write_study_files

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
PATIENCE_MS = 600_000  # MLflow's pages are large
TRIALS = 12
TITLES = """() => [...document.querySelectorAll('.js-plotly-plot')].map(g => g._fullLayout)
    .flatMap(l => [l?.xaxis?.title?.text, l?.yaxis?.title?.text])"""
POINTS = """() => Math.max(0, ...[...document.querySelectorAll('.js-plotly-plot')]
    .filter(g => g.data).map(g => (g.data.at(-1)?.x ?? []).length))"""
COLOURS = """() => [...document.querySelectorAll('.js-plotly-plot')].flatMap(g => g.data ?? [])
    .filter(t => t.type === 'scatter').flatMap(t => t.marker.color)"""
AXES = """() => [...document.querySelectorAll('.pcp-plot')].flatMap(
    g => (g.data ?? []).flatMap(t => t.dimensions.map(d => d.label)))"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A real MLflow server."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as (uri, _):
        yield uri


@pytest.fixture
def sent(server, tmp_path, request):
    """A finished study of a real space on the server: its experiment, and how many runs it has."""
    name = request.node.name.replace("_", "-")[:60]
    measure(TRIALS, tmp_path, name)
    folder = StudyFolder(tmp_path / name)
    runs = sync_study(folder, server, write_study_files) + 1  # and the study's own
    experiment = MlflowClient(server).get_experiment_by_name(folder.name).experiment_id
    return experiment, runs


@pytest.fixture
def open_page(server, look):
    """Open a page of the server's."""

    def opened(place: str):
        looking = look(server, 1600)
        looking.page.set_default_timeout(PATIENCE_MS)
        # MLflow draws what lies within the window only.
        looking.page.set_viewport_size({"width": 1600, "height": 2000})
        looking.page.goto(f"{server}/{place}", wait_until="commit")
        return looking

    return opened


def test_the_ready_made_view_opens_with_its_charts_and_all_runs(server, sent, open_page):
    experiment, runs = sent
    looking = open_page(view_link(experiment))
    three_charts(looking.page)
    looking.page.wait_for_selector(f"text={runs} matching runs")
    looking.until(POINTS, lambda count: count >= TRIALS, seconds=PATIENCE_MS / 1000)
    titles = looking.page.evaluate(TITLES)
    looking.keep("mlflow-view")

    assert {"macs_m", "final_accuracy"} <= set(titles)
    assert {url.startswith((server, "data:", "blob:")) for url in looking.requested} == {True}


def test_runs_chosen_by_hand_compare_on_the_accuracy(server, sent, open_page):
    experiment, _ = sent
    found = MlflowClient(server).search_runs([experiment], "metrics.on_front = 1", max_results=5)
    runs = quote(json.dumps([run.info.run_id for run in found]))
    looking = open_page(f"#/compare-runs?runs={runs}&experiments={quote(json.dumps([experiment]))}")
    page = looking.page
    page.wait_for_selector(".pcp-plot .main-svg")
    looking.until(AXES, lambda axes: "final_accuracy" in axes)
    looking.keep("mlflow-compared")
    page.get_by_role("tab", name="Scatter Plot").click()
    page.wait_for_selector("#y-axis-selector")
    looking.until(TITLES, lambda titles: "final_accuracy" in titles)
    looking.keep("mlflow-compared-scatter")


@pytest.fixture
def started(make_study):
    """The page of a study's charts, as `autodepth mlflow` started a server to show it."""
    make_study("digits", TRIALS)
    command = [sys.executable, "-m", "autodepth", "mlflow", "--port", "0"]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


def test_the_first_page_of_a_fresh_study_has_its_charts_with_the_front_in_a_colour_of_its_own(
    started, look
):
    looking = look(started, 1600)
    looking.page.set_default_timeout(PATIENCE_MS)
    looking.page.goto(started, wait_until="commit")
    looking.page.wait_for_selector(".js-plotly-plot .main-svg")
    looking.page.get_by_text("Model training").wait_for()
    looking.until(POINTS, lambda count: count >= TRIALS, seconds=PATIENCE_MS / 1000)
    colours = looking.page.evaluate(COLOURS)
    looking.keep("mlflow-first-page")
    with Ledger.open(find_study("digits").ledger_path, read_only=True) as ledger:
        members = len(ledger.front())

    assert "genai" not in looking.page.url
    assert (len(set(colours)), colours.count(FRONT_COLOUR)) == (2, members)
