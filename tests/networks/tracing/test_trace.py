"""Residual branches are found by data flow, and nothing else is taken for one."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autodepth.errors import NetworkError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.tracing.trace import trace


class Unusual(nn.Module):
    """Residual additions in four spellings, a position embedding and a sum of equals."""

    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 4, 6, 6))
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.branches = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(4))
        self.left, self.right = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.scale = nn.Parameter(torch.full((4, 1, 1), 0.5))
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.stem(x) + self.position
        x = torch.add(x, self.branches[0](x))
        x += self.branches[1](F.relu(x))
        x = x.clone()
        x.add_(self.branches[2](x))
        x = self.scale * self.branches[3](x) + x
        x = self.left(x) + self.right(x)
        return self.head(x.mean((2, 3)))


def test_every_spelling_of_a_residual_is_found_and_nothing_else():
    network = ResidualNetwork.from_module(Unusual(), (3, 6, 6))

    assert [branch.shortcut for branch in network.branches] == ["identity"] * 4
    assert [branch.parameters for branch in network.branches] == [148, 148, 148, 152]


def test_tracing_keeps_names_keys_values_and_parameters():
    module = Unusual().eval()
    network = ResidualNetwork.from_module(module, (3, 6, 6))
    images = torch.randn(2, 3, 6, 6)

    assert list(network.module.state_dict()) == list(module.state_dict())
    assert dict(network.module.named_parameters())["scale"] is module.scale
    assert torch.equal(network.module.eval()(images), module(images))


def test_branches_are_numbered_from_the_input_and_grouped_into_stages():
    network = build_network(NetworkSpec(name="resnet20"))

    assert [b.index for b in network.branches] == list(range(1, 10))
    assert [b.stage for b in network.branches] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert [b.index for b in network.branches if b.shortcut == "projection"] == [4, 7]
    assert network.branches[4].module == "layer2.1"


@pytest.mark.parametrize(
    ("name", "identity", "projection"),
    [
        ("resnet18", 5, 3),
        ("resnet50", 12, 4),
        ("mobilenet_v2", 10, 0),
        ("efficientnet_b0", 9, 0),
        ("convnext_tiny", 18, 0),
        ("vit_b_16", 24, 0),
    ],
)
def test_torchvision_families_have_the_branches_their_definition_says(name, identity, projection):
    spec = NetworkSpec(name=f"torchvision:{name}", classes=10, height=224, width=224)

    shortcuts = [branch.shortcut for branch in build_network(spec).branches]

    assert (shortcuts.count("identity"), shortcuts.count("projection")) == (identity, projection)


@pytest.mark.parametrize("name", ["vgg11", "alexnet", "squeezenet1_1", "densenet121"])
def test_networks_without_residuals_are_refused(name):
    spec = NetworkSpec(name=f"torchvision:{name}", classes=10, height=224, width=224)

    with pytest.raises(NetworkError, match="no residual branch"):
        build_network(spec)


def test_stochastic_depth_that_a_network_brings_along_is_taken_out():
    spec = NetworkSpec(name="torchvision:convnext_tiny", classes=10, height=64, width=64)
    network = build_network(spec)

    kinds = {type(module).__name__ for module in network.module.modules()}

    assert "StochasticDepth" not in kinds


def test_control_flow_that_depends_on_data_is_refused_with_advice():
    class Decides(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return x + self.conv(x) if x.sum() > 0 else x

    with pytest.raises(NetworkError, match=r"Decides cannot be traced.*torch\.fx\.wrap"):
        trace(Decides())


def test_a_network_with_another_top_level_in_training_is_refused():
    class TwoFaced(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return x + self.conv(x) if self.training else x

    with pytest.raises(
        NetworkError, match="outside its submodules it differs between training and evaluation"
    ):
        trace(TwoFaced())


def test_a_wrong_image_shape_is_an_error_that_names_it():
    with pytest.raises(NetworkError, match="does not take images of 5x32x32"):
        ResidualNetwork.from_module(build_network(NetworkSpec(name="resnet8")).module, (5, 32, 32))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet21", "6n\\+2"),
        ("resnet65", "6n\\+2"),
        ("resnte20", "did you mean 'resnet20'"),
        ("torchvision:resnet49", "did you mean 'resnet"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name, message):
    with pytest.raises(NetworkError, match=message):
        build_network(NetworkSpec(name=name))
