"""MACs equal closed forms and an independent counter."""

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from autodepth.errors import NetworkError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.catalogue.cifar_resnet import CifarResNet
from autodepth.networks.costs.cost import count_macs

IDENTITY_BLOCK = 4_718_592  # 2 x 3x3 x 16 x 16 x 32 x 32, the same in every stage


def test_torchvision_resnet50_has_the_reference_macs():
    spec = NetworkSpec(name="torchvision:resnet50", classes=1000, height=224, width=224)

    network = build_network(spec)

    assert network.total_macs == 4_089_184_256
    assert sum(branch.shortcut == "identity" for branch in network.branches) == 12
    assert sum(branch.shortcut == "projection" for branch in network.branches) == 4


def test_macs_agree_with_fvcore_on_convolutions_and_linear_layers():
    module, image = CifarResNet(20).eval(), torch.zeros(1, 3, 32, 32)
    analysis = FlopCountAnalysis(module, image).unsupported_ops_warnings(False)
    by_operator = analysis.by_operator()

    assert count_macs(module, image) == by_operator["conv"] + by_operator["linear"]


def test_removing_an_identity_block_saves_exactly_one_quantum():
    network = build_network(NetworkSpec(name="resnet56"))
    image = torch.zeros(1, 3, 32, 32)

    for index in (2, 15, 27):
        smaller = network.without([index])

        assert network.total_macs - smaller.total_macs == IDENTITY_BLOCK
        assert count_macs(smaller.module, image) == smaller.total_macs


def test_attention_on_the_cpu_is_counted():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)

    class Attend(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = attention

        def forward(self, x):
            return self.attention(x, x, x, need_weights=False)[0]

    tokens, width = 5, 8
    projections = tokens * width * width * 4
    products = 2 * tokens * tokens * width

    assert count_macs(Attend(), torch.zeros(1, tokens, width)) == projections + products


class Inverse(nn.Module):
    def forward(self, x):
        return torch.linalg.inv(x)


def test_an_operator_that_cannot_be_counted_is_an_error_with_its_name_and_the_way_out():
    with pytest.raises(NetworkError, match=r"aten\.linalg_inv_ex .*--free aten\.linalg_inv_ex"):
        count_macs(Inverse(), torch.eye(8)[None])


@pytest.mark.parametrize(
    "name", ["aten.linalg_inv_ex", "aten::linalg_inv_ex", "aten::linalg_inv_ex.default"]
)
def test_an_operator_that_a_person_calls_free_counts_as_nothing(name):
    assert count_macs(Inverse(), torch.eye(8)[None], free=[name]) == 0


def test_counting_leaves_the_training_flags_alone():
    module = CifarResNet(8)
    module.layer1.eval()
    before = [part.training for part in module.modules()]

    count_macs(module, torch.zeros(1, 3, 8, 8))

    assert [part.training for part in module.modules()] == before
