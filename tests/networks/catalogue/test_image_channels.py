"""Grey images are repeated where a network takes colour, seen by giving it some."""

import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from autodepth.errors import NetworkError
from autodepth.networks.catalogue import NetworkSpec, build_module, build_network
from autodepth.networks.catalogue.image_channels import with_channels
from autodepth.networks.weights.own_files import save_weights


class Net(nn.Module):
    """A residual network whose first layer has some name and takes some channels."""

    def __init__(self, stem, channels):
        super().__init__()
        self.first = stem
        setattr(self, stem, nn.Conv2d(channels, 4, 3, padding=1))
        self.body, self.fc = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 10)

    def forward(self, x):
        x = getattr(self, self.first)(x)
        return self.fc((x + self.body(x)).mean((2, 3)))


class Patches(nn.Module):
    """A network whose first layer is linear, on patches."""

    def __init__(self):
        super().__init__()
        self.embed, self.body, self.fc = nn.Linear(3 * 16, 8), nn.Linear(8, 8), nn.Linear(8, 10)

    def forward(self, x):
        x = self.embed(nn.functional.unfold(x, 4, stride=4).transpose(1, 2))
        return self.fc((x + self.body(x)).mean(1))


@pytest.fixture
def own(monkeypatch):
    """Return the description of a network that a function builds."""

    def make(builder, channels=1):
        module = ModuleType("nets_of_this_test")
        module.build = builder
        monkeypatch.setitem(sys.modules, module.__name__, module)
        name = f"{module.__name__}:build"
        return NetworkSpec(name=name, height=8, width=8, channels=channels, own_code=True)

    return make


@pytest.mark.parametrize("stem", ["stem", "conv1", "features", "patch_embed", "x"])
@pytest.mark.parametrize(("takes", "images", "given"), [(3, 1, 3), (1, 1, 1), (3, 3, 3)])
def test_the_first_layer_decides_whatever_its_name(own, stem, takes, images, given):
    spec = own(lambda: Net(stem, takes), images)

    assert with_channels(spec).channels == given


def test_a_first_layer_that_is_no_convolution_decides_too(own):
    assert with_channels(own(Patches)).channels == 3


def test_a_network_that_takes_neither_is_left_to_the_reading_of_it(own):
    spec = own(lambda: Net("stem", 4))

    assert with_channels(spec) == spec


@pytest.mark.parametrize("channels", [1, 3])
def test_weights_decide_where_a_network_is_built_for_any_channels(tmp_path, channels):
    made = NetworkSpec(name="resnet8", channels=channels)
    save_weights(build_network(made).module, tmp_path / "w.safetensors")
    grey = NetworkSpec(name="resnet8", channels=1)

    assert with_channels(grey).channels == 1
    assert with_channels(grey, weights=tmp_path / "w.safetensors").channels == channels


def test_networks_of_libraries_take_colour():
    grey = NetworkSpec(name="torchvision:resnet18", channels=1)

    assert with_channels(grey).channels == 3


def test_code_that_was_not_allowed_is_not_run_for_it(own):
    spec = own(lambda: pytest.fail("it ran"))
    spec = NetworkSpec(**{**spec.to_dict(), "own_code": False})

    with pytest.raises(NetworkError, match="--own-code"):
        with_channels(spec)


def test_looking_leaves_the_global_generator_as_it_was(own):
    spec, before = own(lambda: Net("stem", 3)), torch.get_rng_state()

    with_channels(spec)

    assert torch.equal(torch.get_rng_state(), before)
    assert build_module(spec).first == "stem"
