"""The view is what MLflow's page reads: compressed JSON that names parameters as runs have them."""

import base64
import json
import zlib

from autodepth.policy.policy import Policy, in_full
from autodepth.records.mlflow.payload import params
from autodepth.records.mlflow.views import charts_address, files_link, view_tag
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search


def unpacked(tag):
    assert tag.startswith("deflate;")
    return json.loads(zlib.decompress(base64.b64decode(tag.removeprefix("deflate;"))))


def test_the_default_space_gets_three_charts_of_what_is_searched():
    plan = plan_search(SearchRequest(budget="1trials")).to_dict()
    state = unpacked(view_tag(json.loads(json.dumps(plan))))
    scatter, parallel, contour = state["compareRunCharts"]

    assert (scatter["xaxis"]["key"], scatter["yaxis"]["key"]) == ("macs_m", "final_accuracy")
    assert parallel["selectedMetrics"] == ["remaining_branches", "macs_m", "final_accuracy"]
    assert parallel["selectedParams"][0] == "origin"
    assert contour["xaxis"] == {"key": "remaining_branches", "type": "METRIC"}
    columns = "params.`sensitivity_threshold.1`", "params.`origin`", "metrics.`remaining_branches`"
    assert set(columns) <= set(state["selectedColumns"])
    assert state["orderByKey"] == "metrics.`on_front`"
    assert "metrics.`final_accuracy`" in state["selectedColumns"]
    sections = {section["uuid"] for section in state["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == sections


def test_every_run_has_every_parameter_of_the_parallel_coordinates():
    """MLflow leaves the others out, and hides a chart that none is left in."""
    plan = plan_search(SearchRequest(budget="1trials")).to_dict()
    view = unpacked(view_tag(json.loads(json.dumps(plan))))
    (axes,) = [c["selectedParams"] for c in view["compareRunCharts"] if c["type"] == "PARALLEL"]
    for values in ({}, {"origin": "scratch", "branches_removed": 3, "stream_width": 0.5}):
        logged = params(in_full(Policy(**values).to_dict()))
        assert set(axes) <= logged.keys()
        assert "none" not in {logged[name] for name in axes}


def test_a_plan_of_another_shape_gets_what_can_be_drawn():
    state = unpacked(view_tag({}))

    kinds = [chart["type"] for chart in state["compareRunCharts"]]
    assert kinds == ["SCATTER", "PARALLEL", "CONTOUR"]


def test_the_charts_are_found_at_a_server_as_machine_learning_not_as_language_models():
    address = charts_address("http://host:5000/", "7")

    assert address.startswith("http://host:5000/#/experiments/7/runs?")
    for place in (address, files_link("7", "run")):
        assert "workflowType=machine_learning" in place
