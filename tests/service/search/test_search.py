"""What a search begins with: a name where none is given, and a place that goes with it."""

from types import SimpleNamespace

import pytest

from autodepth.errors import InputError
from autodepth.records.studies import check_free
from autodepth.service.search.search import _study_name, on_cluster


@pytest.mark.parametrize(
    ("network", "data"),
    [
        ("resnet20", "digits"),
        ("a_package_of_mine.my_networks:build_a_deep_one_with_attention", "folder:/my photos"),
        *((f"{'p' * n}.nets:build", "npz:../x.npz") for n in range(20, 60)),
        ("-" * 70, "digits"),
        ("мой.пакет:net", "folder:/снимки"),
    ],
)
def test_a_name_is_made_of_network_data_and_time_and_may_be_used(network, data):
    space = SimpleNamespace(network=SimpleNamespace(name=network), data=SimpleNamespace(name=data))
    plan = SimpleNamespace(space=space, to_dict=lambda: {"data": {"name": data}})
    name = _study_name(plan)

    assert check_free(name).name == name


def test_a_storage_is_for_a_cluster():
    with pytest.raises(InputError, match="needs --ray-address"), on_cluster(None, "file:///x"):
        pass
