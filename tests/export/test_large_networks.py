"""Networks of torchvision with a third of their branches gone are exported in every format."""

import pytest
from export_networks import row

from autodepth.networks.catalogue import NetworkSpec


@pytest.mark.long
@pytest.mark.slow
def test_a_resnet18_without_a_third_of_its_branches_is_written_and_verified():
    line = row(NetworkSpec(name="torchvision:resnet18", height=32, width=32))
    _, network, branches, removed, macs, program, onnx, _, _ = line.split("|")

    assert network.strip() == "torchvision:resnet18, 32 px"
    assert (int(branches), int(removed)) == (8, 3)
    assert 0.5 < float(macs.strip(" %")) / 100 < 1
    assert float(program) <= 1e-5
    assert float(onnx) <= 1e-4
