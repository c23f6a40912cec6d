"""Weights of a library are found where they lie, or it is said what to put where."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from autodepth.errors import WeightsError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.catalogue.build import build_module
from autodepth.networks.catalogue.pixel_constants import constants_of
from autodepth.networks.catalogue.pretrained import PRETRAINED, weights_file
from autodepth.space.file.shipped import default_space
from autodepth.space.file.space_file import load_space
from autodepth.study.plan.inputs.fitted_space import with_absolute_paths

RESNET18, TINY = "torchvision:resnet18", "timm:test_resnet"
FILES = {RESNET18: "resnet18-f37072fd.pth", TINY: "test_resnet.r160_in1k.safetensors"}


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """Return torch's folder of checkpoints, and fail every download."""

    def unreachable(*_, **__):
        raise URLError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_a_file_of_ones_own_is_taken_as_it_is():
    assert weights_file("resnet20", Path("mine.pth")) == Path("mine.pth")


def test_what_lies_there_is_taken_with_what_pixels_it_was_trained_on(checkpoints):
    spec = NetworkSpec(name=RESNET18, height=32, width=32)
    with torch.random.fork_rng([]):
        given = build_module(NetworkSpec(name=RESNET18, classes=1000)).state_dict()
    torch.save(given, checkpoints / FILES[RESNET18])

    file = weights_file(RESNET18, Path(PRETRAINED))
    network = build_network(spec, weights=file, once=True)

    assert file == checkpoints / FILES[RESNET18]
    assert torch.equal(network.module.get_parameter("conv1.weight"), given["conv1.weight"])
    assert any("start at random" in note for note in network.notes)
    assert constants_of(RESNET18, file).mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize("name", FILES)
def test_without_a_way_out_it_is_said_what_to_put_where(checkpoints, name):
    with pytest.raises(WeightsError, match="could not be fetched") as told:
        weights_file(name, Path(PRETRAINED))

    assert "no route" in str(told.value)
    assert str(told.value).endswith(f"at {checkpoints / FILES[name]}")
    source = (
        "resnet18-f37072fd.pth" if name == RESNET18 else "model.safetensors of timm/test_resnet"
    )
    assert source in str(told.value).partition(": put ")[2].partition(" at ")[0]
    assert list(checkpoints.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("resnet20", "are for torchvision:NAME, timm:NAME and hf:NAME"),
        ("torchvision:resnet19", "torchvision offers no weights of torchvision:resnet19"),
        ("timm:resnet19", "timm offers no weights of timm:resnet19"),
    ],
)
def test_networks_without_any_are_told(name, rule):
    with pytest.raises(WeightsError, match=rule):
        weights_file(name, Path(PRETRAINED))


def test_a_plan_has_the_file_in_place_of_the_word(checkpoints):
    (checkpoints / FILES[RESNET18]).touch()
    space = load_space(
        default_space(),
        [f"network={{name: '{RESNET18}', weights: {PRETRAINED}}}", "train.epochs=0"],
    )

    assert with_absolute_paths(space).network.weights == str(checkpoints / FILES[RESNET18])
