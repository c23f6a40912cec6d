"""A network of a person's own through a whole search; who may run its code."""

import sys

import pytest
import torch
from own_networks import net_code

from autodepth.errors import NetworkError
from autodepth.export.bundles.bundle import load
from autodepth.export.exporting import export_selected
from autodepth.records.studies import find_study
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search, search

NET = net_code(first='print("imported")', stride=2)
SPACE = """
version: 1
network: {name: "ownnet:Net", arguments: {depth: 3}}
data: {name: digits, train_images: 40, augment: none}
objectives:
  - {name: validation_accuracy, goal: maximize, reference: 0.0}
  - {name: macs, goal: minimize, reference: 100%}
search:
  branches_removed: {type: int, min: 0, max: 2}
train: {epochs: 1, batch_size: 20}
"""


@pytest.fixture
def space(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    (tmp_path / "ownnet.py").write_text(NET)
    (tmp_path / "space.yaml").write_text(SPACE)
    yield tmp_path / "space.yaml"
    sys.modules.pop("ownnet", None)


def test_a_space_file_alone_does_not_make_code_run(space, capfd):
    with pytest.raises(NetworkError, match="allow it with --own-code"):
        plan_search(SearchRequest(space=space, budget="2trials"))

    assert "ownnet" not in sys.modules
    assert "imported" not in capfd.readouterr().out


def test_a_network_named_by_the_caller_is_built_without_more_ado(space):
    plan = plan_search(SearchRequest(space=space, budget="2trials", network="ownnet:Net"))

    assert len(plan.network.branches) == 2  # the space's arguments belonged to its own network


def test_a_search_exports_a_network_of_ones_own_and_loads_it_where_that_is_allowed(space, tmp_path):
    result = search(space, budget="3trials", study="own", runner="in-process", own_code=True)
    study = find_study("own")

    assert result.complete == 3
    with pytest.raises(NetworkError, match="--own-code"):
        export_selected(study, "smallest", tmp_path / "out")
    point = export_selected(study, "smallest", tmp_path / "out", own_code=True)
    with pytest.raises(NetworkError, match="own_code=True"):
        load(tmp_path / "out")
    module = load(tmp_path / "out", own_code=True)
    assert module(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert len(point.removed) + sum("f.0.weight" in k for k in module.state_dict()) == 3
    assert "own_code" not in (tmp_path / "out" / "architecture.json").read_text()
