"""A head is trained behind a network, and changes nothing that evaluation or an export sees."""

import torch
from torch import nn

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.gates.training_head import with_training_head, without_training_head


def networks():
    plain = build_network(NetworkSpec(name="resnet8", classes=4), seed=1)
    return plain, with_training_head(plain, nn.Linear(4, 7))


def test_outputs_go_through_it_in_training_alone():
    plain, headed = networks()
    images = torch.randn(2, 3, 32, 32)
    plain.module.eval()
    headed.module.eval()

    assert torch.equal(headed.module(images), plain.module(images))
    assert headed.total_macs == plain.total_macs
    gated = GatedNetwork(headed)
    gated.train()
    gated.open_all()
    assert gated(images).shape == (2, 7)


def test_its_weights_are_parameters_that_branches_gone_leave():
    _, headed = networks()
    smaller = headed.without([1])

    assert smaller.module.get_parameter("training_head.head.weight").shape == (7, 4)
    assert {*smaller.module.state_dict()} < {*headed.module.state_dict()}


def test_what_is_left_without_it_is_the_network():
    plain, headed = networks()

    assert without_training_head(plain) is plain
    left = without_training_head(headed).module
    assert left.state_dict().keys() == plain.module.state_dict().keys()
    assert left.eval().code == plain.module.eval().code
    assert hasattr(headed.module, "training_head")
