"""What a study on a cluster rests on, without a cluster: nodes, storage, luggage, weights."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from autodepth.errors import BudgetError, ClusterError, InputError
from autodepth.networks.catalogue import NetworkSpec
from autodepth.networks.catalogue.own_builder import code_folder
from autodepth.networks.running.own_modules import import_from
from autodepth.records.cache_place import cache_location
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import on_cluster, plan_search
from autodepth.space.file.shipped import default_space
from autodepth.study.cluster import node_probe
from autodepth.study.cluster.nodes import Node, check_storage_given, same_versions
from autodepth.study.cluster.shipping import pack
from autodepth.study.driver.weight_uploads import WeightUploads
from autodepth.study.plan.resources import choose_resources
from autodepth.trial.result import OperatingPoint, TrialResult

RESULT = TrialResult(
    point=OperatingPoint(
        validation_accuracy=0.9, validation_loss=0.3, macs=1000, effective_macs=1000,
        parameters=10, size_bytes=40, latency_ms=1.0,
    ),
    removed=(), sensitivities={}, survival=(), parent_accuracy=0.9, pruned_accuracy=0.9,
    phase_seconds={}, weights_sha256="a" * 64,
)  # fmt: skip
MINE = {"autodepth": "0.1.0", "python": "3.11.2", "torch": "2.13.0"}


def node(name, cpus, gpus=0, *, here=False):
    return Node(name=name, id=name * 2, cpus=cpus, gpus=gpus, here=here)


def test_nodes_with_another_autodepth_or_none_are_named_with_both_versions():
    theirs = {
        "10.0.0.2": {**MINE, "autodepth": "0.0.9"},
        "10.0.0.3": {**MINE, "autodepth": ""},
        "10.0.0.4": {**MINE, "torch": ""},
        "10.0.0.5": MINE,
    }
    with pytest.raises(ClusterError) as error:
        same_versions(MINE, theirs)

    assert str(error.value) == (
        "all nodes must run autodepth 0.1.0, the driver's, but 10.0.0.2 has autodepth 0.0.9; "
        "10.0.0.3 has no autodepth; 10.0.0.4 has no torch"
    )


def test_another_torch_may_be_and_is_told():
    notes = same_versions(MINE, {"10.0.0.2": {**MINE, "torch": "2.12.0"}, "10.0.0.3": MINE})

    assert notes == ["10.0.0.2 has torch 2.12.0, and the driver 2.13.0: results may differ"]


def test_the_probe_tells_what_runs_here():
    assert set(node_probe.versions()) == set(MINE)
    assert all(node_probe.versions().values())


def test_trials_on_other_hosts_need_a_storage():
    check_storage_given([node("a", 2, here=True)], None)
    check_storage_given([node("a", 2), node("b", 2)], "s3://bucket/x")
    with pytest.raises(ClusterError, match=r"other nodes \(b\) need a place .* --storage"):
        check_storage_given([node("a", 2, here=True), node("b", 2)], None)


def test_a_storage_is_for_a_cluster():
    with pytest.raises(InputError, match="needs --ray-address"), on_cluster(None, "file:///x"):
        pass


def test_the_cache_of_a_cluster_is_in_its_storage(monkeypatch):
    monkeypatch.setenv("AUTODEPTH_CACHE", "/only/here")

    assert cache_location("s3://bucket/ad/") == "s3://bucket/ad/cache"


@pytest.mark.parametrize(
    ("nodes", "wish", "count", "cpus"),
    [
        ([node("a", 4), node("b", 4)], None, 8, 1),
        ([node("a", 4), node("b", 4)], 2, 2, 4),
        ([node("a", 4), node("b", 4)], 3, 3, 2),
        ([node("a", 8), node("b", 1)], 2, 2, 4),
    ],
)
def test_a_trial_on_cpus_stays_on_one_node(nodes, wish, count, cpus):
    resources = choose_resources("cpu", wish, nodes)

    assert (resources.count, resources.cpus) == (count, cpus)


def test_gpus_of_all_nodes_count_and_several_trials_may_share_one():
    nodes = [node("a", 8, 2), node("b", 8, 1), node("c", 4)]

    assert choose_resources("gpu", None, nodes).count == 3
    shared = choose_resources("gpu", 6, nodes)
    assert (shared.count, shared.gpus, shared.devices) == (6, 0.5, 3.0)
    assert choose_resources("cpu", None, nodes).count == 20


def test_wishes_the_nodes_cannot_meet_are_refused():
    nodes = [node("a", 2), node("b", 2)]
    with pytest.raises(BudgetError, match="no node of the cluster has one"):
        choose_resources("gpu", None, nodes)
    with pytest.raises(InputError, match=r"must be in \[1, 4\] \(CPUs of the cluster\), but got 5"):
        choose_resources("cpu", 5, nodes)


def test_a_node_answers_the_drivers_word(tmp_path):
    where = f"file://{tmp_path}/probe"
    node_probe.leave_word(where, "word", "driver")

    assert node_probe.answer_word(where, "word", "driver", "10.0.0.2") == ""
    node_probe.find_word(where, "word", "10.0.0.2")
    node_probe.forget_word(where, "word", "10.0.0.2")
    with pytest.raises(FileNotFoundError):
        node_probe.find_word(where, "word", "10.0.0.2")


def test_a_node_that_sees_another_place_says_so(tmp_path):
    node_probe.leave_word(f"{tmp_path}/a", "word", "driver")

    told = node_probe.answer_word(f"{tmp_path}/b", "word", "driver", "10.0.0.2")
    assert told == "it does not see what the driver wrote there"
    assert "InputError" in node_probe.answer_word("nosuch://x", "word", "driver", "10.0.0.2")


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_weights_arrive_as_they_were_left_and_are_forgotten(tmp_path, kind):
    where = f"file://{tmp_path}/transit" if kind == "folder" else "memory://transit"
    transit, left = WeightUploads(where), tmp_path / "left"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"weights")
    transit.leave(7, RESULT, left)
    transit.fetch(7, RESULT, tmp_path / "study" / "7")

    assert [p.name for p in (tmp_path / "study" / "7").iterdir()] == ["model.safetensors"]
    assert (tmp_path / "study" / "7" / "model.safetensors").read_bytes() == b"weights"
    transit.forget(7, RESULT)
    with pytest.raises(FileNotFoundError):
        transit.fetch(7, RESULT, tmp_path / "study" / "8")


def test_luggage_takes_weights_and_the_code_that_was_imported(tmp_path, monkeypatch):
    (tmp_path / "mynets").mkdir()
    (tmp_path / "mynets" / "__init__.py").write_text("")
    (tmp_path / "mynets" / "small.py").write_text("from mynets.parts import WIDTH\n")
    (tmp_path / "mynets" / "parts.py").write_text("WIDTH = 8\n")
    (tmp_path / "secret.py").write_text("nobody imports this\n")
    import_from(tmp_path, "mynets.small")
    spec = NetworkSpec(name="mynets.small:build", code_folder=code_folder("mynets.small:build"))
    try:
        shipped_files = pack(spec, None)
    finally:
        for name in [name for name in sys.modules if name.startswith("mynets")]:
            del sys.modules[name]
    assert sorted(shipped_files.code) == [
        "mynets/__init__.py",
        "mynets/parts.py",
        "mynets/small.py",
    ]
    assert pack(NetworkSpec(name="resnet20"), None).unpack_files() is None

    place = shipped_files.unpack_files()
    assert place is not None
    assert (place / "code" / "mynets" / "parts.py").read_text() == "WIDTH = 8\n"
    assert shipped_files.unpack_files() == place  # once per process
    assert shipped_files.unpack_code(spec).code_folder == place / "code"
    assert str(place / "code") not in sys.path


def test_weights_of_the_drivers_host_are_read_from_the_nodes_own_copy(tmp_path):
    plan = plan_search(
        SearchRequest(space=default_space(), budget="1trials", settings=["network.name=resnet14"])
    )
    file = tmp_path / "given.safetensors"
    file.write_bytes(b"given")
    context = replace(plan.context, weights=file)

    unpacked = pack(context.spec, file).unpack(context)
    assert unpacked.weights not in {None, file}
    assert Path(unpacked.weights).read_bytes() == b"given"
    assert Path(unpacked.weights).suffix == ".safetensors"  # by which its kind is told
