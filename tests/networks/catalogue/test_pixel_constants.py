"""The constants weights were trained with are taken from whatever tells them, and it is named."""

import argparse
import json

import pytest
import torch

from autodepth.networks.catalogue.pixel_constants import constants_of


@pytest.fixture
def weights(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pt")
    return tmp_path / "w.pt"


def timm_is_here():
    pytest.importorskip("timm", exc_type=ImportError)


@pytest.mark.parametrize(
    ("name", "mean"),
    [("test_resnet", 0.5), ("vit_tiny_patch16_224", 0.5), ("resnet18", 0.485)],
)
def test_timm_says_what_its_networks_were_trained_with(weights, name, mean):
    from autodepth.torchvision_door import import_torchvision

    import_torchvision()
    timm_is_here()

    found = constants_of(f"timm:{name}", weights)

    assert found.mean[0] == mean
    assert f"configuration of timm:{name}" in str(found)


def test_torchvision_says_so_too_and_others_nothing(weights):
    assert constants_of("torchvision:resnet18", weights).std == (0.229, 0.224, 0.225)
    assert constants_of("resnet20", weights) is None
    assert constants_of("my.nets:build", weights) is None


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("preprocessor_config.json", {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 1]}),
        ("config.json", {"pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]}}),
    ],
)
@pytest.mark.parametrize("folder", [False, True])
def test_a_description_beside_the_weights_comes_before_the_library(weights, file, content, folder):
    (weights.parent / file).write_text(json.dumps(content))
    weights.rename(weights.with_name("pytorch_model.bin"))
    place = weights.parent if folder else weights.with_name("pytorch_model.bin")

    found = constants_of("torchvision:resnet18", place)

    assert found.mean == (0.1, 0.2, 0.3)
    assert str(found) == f"mean 0.1 0.2 0.3, std 1 1 1 ({file} beside the weights)"


@pytest.mark.parametrize("make", [argparse.Namespace, dict])
def test_the_arguments_of_the_training_script_come_first(weights, make):
    arguments = make(mean=(0.5, 0.4, 0.3), std=[0.2, 0.2, 0.2], lr=0.1)
    torch.save({"state_dict": {"a": torch.zeros(1)}, "args": arguments}, weights)

    assert constants_of("torchvision:resnet18", weights).mean == (0.5, 0.4, 0.3)


@pytest.mark.parametrize(
    "arguments",
    [
        {"mean": None, "std": None},
        {"mean": [0.5], "std": [0.5, 0.5]},
        {"mean": [0.5], "std": [0]},
        {"mean": "x", "std": "y"},
        {"mean": ["x"], "std": ["y"]},
        [1],
        None,
    ],
)
def test_arguments_that_are_no_constants_are_passed_over(weights, arguments):
    torch.save({"a": torch.zeros(1), "args": arguments}, weights)
    (weights.parent / "preprocessor_config.json").write_text("{oops")

    assert constants_of("resnet20", weights) is None
