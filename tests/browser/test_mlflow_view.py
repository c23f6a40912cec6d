"""MLflow's own pages, a real server and a real browser: the ready-made view of a finished study."""

from __future__ import annotations

import pytest
from mlflow.tracking import MlflowClient
from mlflow_thousand import mlflow_server, three_charts

from autodepth.records.preset_view import view_link
from autodepth.records.tracker import sync_study
from autodepth.report.study_files import write_study_files

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
POINTS = """() => Math.max(...[...document.querySelectorAll('.js-plotly-plot')]
    .filter(g => g.data).map(g => (g.data.at(-1).x ?? []).length))"""


def test_the_ready_made_view_opens_with_its_charts_and_all_runs(look, make_study, tmp_path):
    folder = make_study("digits", 12)
    with mlflow_server(tmp_path) as (uri, _):
        sent = sync_study(folder, uri, write_study_files)
        experiment = MlflowClient(uri).get_experiment_by_name("digits").experiment_id
        looking = look(uri, 1600)
        page = looking.page
        page.set_default_timeout(600_000)
        page.goto(f"{uri}/{view_link(experiment)}", wait_until="commit")
        three_charts(page)
        page.wait_for_selector(f"text={sent + 1} matching runs")  # and the study's own
        looking.until(POINTS, lambda count: count >= sent - 1)  # one failed: it has no point
        looking.keep("mlflow-view")
    assert {url.startswith((uri, "data:", "blob:")) for url in looking.requested} == {True}
