"""The constants that given weights were trained with go into all that is exported."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from autodepth import load
from autodepth.export.bundles.bundle import read_architecture
from autodepth.networks.catalogue import NetworkSpec, build_module
from autodepth.networks.catalogue.libraries.timm_models import import_timm
from autodepth.policy.policy import Policy
from autodepth.service.one_policy.policies import carry_out_policy
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search
from autodepth.torchvision_door import import_torchvision

NAME = "timm:test_resnet"
HALVES = (0.5, 0.5, 0.5)  # timm says so; most public weights have ImageNet's


@pytest.fixture(scope="module")
def pixels():
    draw = np.random.default_rng(3)
    return draw.integers(0, 255, (40, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, pixels):
    """A network of timm, its weights given, as it leaves a policy that changes nothing."""
    import_torchvision()  # timm imports it
    pytest.importorskip("timm", exc_type=ImportError)
    place = tmp_path_factory.mktemp("timm")
    labels = np.arange(40) % 4
    np.savez(place / "images.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    torch.manual_seed(0)
    spec = NetworkSpec(name=NAME, classes=4, height=32, width=32)
    torch.save(build_module(spec).state_dict(), place / "w.pt")
    plan = plan_search(
        SearchRequest(
            budget="1trials",
            network=NAME,
            data=f"npz:{place / 'images.npz'}",
            weights=place / "w.pt",
        )
    )
    policy = Policy.from_dict({"train": {"epochs": 0}})
    carry_out_policy(plan, policy, to=place / "out", formats=("onnx",), on_epoch=lambda _: None)
    return place / "out", plan


def test_they_are_told_in_the_plan_the_architecture_and_the_card(exported):
    folder, plan = exported
    constants = read_architecture(folder).normalisation
    written = json.loads((folder / "architecture.json").read_text())["normalisation"]

    config = import_timm().get_pretrained_cfg("test_resnet")
    assert (config.mean, config.std) == (HALVES, HALVES)
    told = (
        f"normalisation: mean 0.5 0.5 0.5, std 0.5 0.5 0.5 (the library's configuration of {NAME}"
    )
    assert any(note.startswith(told) for note in plan.notes)
    assert (constants.mean, constants.std) == (HALVES, HALVES)
    assert written == {"mean": list(HALVES), "std": list(HALVES)}
    assert "with mean 0.5, 0.5, 0.5 and std 0.5, 0.5, 0.5 per channel" in (
        folder / "README.md"
    ).read_text().replace("\n", " ")


def test_the_script_in_the_bundle_normalises_with_them(exported, pixels, tmp_path):
    folder, _ = exported
    np.save(tmp_path / "some.npy", pixels)
    done = subprocess.run(
        [sys.executable, folder / "predict.py", tmp_path / "some.npy"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    classes = read_architecture(folder).classes

    def named(x):
        with torch.no_grad():
            shares = load(folder)(x).softmax(1)
        return [f"{classes[s.argmax()]} ({s.max():.1%})" for s in shares]

    given = [line.split(": ", 1)[1] for line in done.stdout.splitlines()]
    assert given == named((images - 0.5) / 0.5)
    assert given != named(images)
