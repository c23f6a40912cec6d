"""p_l goes into the last affine layer where that is exact, and nowhere else."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

from autodepth.errors import NetworkError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.gates.folding import fold_survival, fold_targets
from autodepth.networks.residual_network import ResidualNetwork


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self, branch):
        super().__init__()
        self.branch = branch

    def forward(self, x):
        return x + self.branch(x)


class Scaled(nn.Module):
    """Layer scale after anything."""

    def __init__(self, branch):
        super().__init__()
        self.branch, self.scale = branch, nn.Parameter(torch.rand(4, 1, 1))

    def forward(self, x):
        return self.scale * self.branch(x)


class Functional(nn.Module):
    """A layer whose weights are read by functions."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        self.weight = nn.Parameter(torch.rand(4, 4, 1, 1))
        self.bias = nn.Parameter(torch.rand(4))

    def forward(self, x):
        x = F.conv2d(self.norm(x), self.weight, self.bias)
        return F.relu(x.permute(0, 2, 3, 1).reshape(x.shape[0], 6, 6, 4).permute(0, 3, 1, 2))


class StandardisedConv(nn.Conv2d):
    """Its output does not depend on the scale of its weights."""

    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, weight / weight.std(), self.bias)


class Centred(nn.Module):
    def forward(self, weight):
        return weight - weight.mean()


def parametrised():
    layer = conv()
    parametrize.register_parametrization(layer, "weight", Centred())
    return layer


class ReadTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.layer(x)
        return F.relu(x.flip(1) * x.sigmoid() + x)


class Repeated(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return self.layer(self.layer(x))


def conv():
    return nn.Conv2d(4, 4, 1)


@pytest.mark.parametrize(
    "branch",
    [
        conv(),
        nn.Sequential(conv(), nn.BatchNorm2d(4)),
        nn.Sequential(conv(), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout()),
        nn.Sequential(conv(), nn.GroupNorm(2, 4), nn.LeakyReLU(), nn.Identity()),
        Scaled(nn.Sequential(conv(), nn.Sigmoid())),
        Functional(),
    ],
    ids=lambda branch: type(branch).__name__,
)
def test_folding_equals_scaling_the_branch(branch):
    network = ResidualNetwork.from_module(Block(branch).eval(), (4, 6, 6))
    images = torch.randn(2, 4, 6, 6)
    network.module.eval()
    with torch.no_grad():
        whole = network.module(images)
        fold_survival(network, {1: 0.3})

        expected = images + 0.3 * (whole - images)

        assert (network.module(images) - expected).abs().max() <= 1e-6


@pytest.mark.parametrize(
    "branch",
    [
        nn.Sequential(conv(), nn.GELU()),
        nn.Sequential(conv(), nn.BatchNorm2d(4, affine=False)),
        StandardisedConv(4, 4, 1),
        parametrised(),
        ReadTwice(),
        Repeated(),
    ],
    ids=["gelu", "no weights", "standardised", "parametrised", "read twice", "repeated"],
)
def test_what_would_not_be_exact_is_refused_and_nothing_changes(branch):
    network = ResidualNetwork.from_module(Block(branch).eval(), (4, 6, 6))
    before = {key: value.clone() for key, value in network.module.state_dict().items()}

    assert fold_targets(network) == {}
    with pytest.raises(NetworkError, match="train it with inverted compensation"):
        fold_survival(network, {1: 0.5})

    assert all(
        torch.equal(value, before[key]) for key, value in network.module.state_dict().items()
    )


def test_folding_by_one_asks_nothing_of_a_branch():
    fold_survival(ResidualNetwork.from_module(Block(Repeated()), (4, 6, 6)), {1: 1.0})


def test_a_refusal_leaves_the_foldable_branches_as_they_were():
    network = ResidualNetwork.from_module(
        nn.Sequential(Block(conv()), Block(nn.Sequential(conv(), nn.Tanh()))), (4, 6, 6)
    )
    weight = network.module.get_parameter("0.branch.weight").clone()

    with pytest.raises(NetworkError, match="branch 2"):
        fold_survival(network, {1: 0.5, 2: 0.5})

    assert torch.equal(network.module.get_parameter("0.branch.weight"), weight)


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "mobilenet_v2",
        pytest.param("efficientnet_b0", marks=pytest.mark.long),
        "convnext_tiny",
        "vit_b_16",
    ],
)
def test_every_branch_of_the_usual_families_can_be_folded(name):
    network = build_network(NetworkSpec(name=f"torchvision:{name}", height=224, width=224))

    assert set(fold_targets(network)) == {branch.index for branch in network.branches}
