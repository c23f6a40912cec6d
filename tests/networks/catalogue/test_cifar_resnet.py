"""The CIFAR ResNets cost what their paper says."""

import pytest

from autodepth.networks.catalogue import NetworkSpec, build_network


@pytest.mark.parametrize(
    ("name", "macs", "parameters"),
    [
        ("resnet20", 40_551_040, 269_722),
        pytest.param("resnet32", 68_862_592, 464_154, marks=pytest.mark.long),
        pytest.param("resnet44", 97_174_144, 658_586, marks=pytest.mark.long),
        ("resnet56", 125_485_696, 853_018),
        pytest.param("resnet110", 252_887_680, 1_727_962, marks=pytest.mark.long),
    ],
)
def test_cifar_resnets_have_the_reference_macs(name, macs, parameters):
    network = build_network(NetworkSpec(name=name))

    assert (network.total_macs, network.total_parameters) == (macs, parameters)


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        ("resnet56", 125_747_840),
        pytest.param("resnet110", 253_149_824, marks=pytest.mark.long),
    ],
)
def test_option_b_adds_its_projections(name, macs):
    assert build_network(NetworkSpec(name=name, shortcut="B")).total_macs == macs
