"""Nodes of a cluster: their versions agree, and they have a place in common."""

import pytest

from autodepth.errors import ClusterError
from autodepth.study.cluster.nodes import Node, check_storage_given, same_versions

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


def test_trials_on_other_hosts_need_a_storage():
    check_storage_given([node("a", 2, here=True)], None)
    check_storage_given([node("a", 2), node("b", 2)], "s3://bucket/x")
    with pytest.raises(ClusterError, match=r"other nodes \(b\) need a place .* --storage"):
        check_storage_given([node("a", 2, here=True), node("b", 2)], None)
