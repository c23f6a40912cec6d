"""The script in every bundle gives what the network gives, where autodepth is not installed."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from export.elsewhere import ALONE
from PIL import Image

from autodepth import load
from autodepth.data.batches import Batches
from autodepth.data.load import load_data
from autodepth.data.settings import DataSettings
from autodepth.export.bundles.bundle import read_architecture


@pytest.fixture
def predict(exported, tmp_path):
    folder = shutil.copytree(exported[0], tmp_path / "elsewhere")

    def predict(*paths, without=()):
        return subprocess.run(
            [sys.executable, "-c", ALONE.format(more=without), folder / "predict.py", *paths],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )

    return predict


@pytest.fixture
def images():
    return load_data(DataSettings(name="digits")).open_test().subset(np.arange(40))


def expected(folder, images):
    architecture = read_architecture(folder)
    batches = Batches(
        images,
        batch_size=40,
        device="cpu",
        normalisation=architecture.normalisation,
        channels=architecture.network.channels,
    )
    ((x, _),) = batches
    with torch.no_grad():
        shares = load(folder)(x).softmax(1)
    return [
        f"{architecture.classes[n]} ({share:.1%})"
        for share, n in zip(*(value.tolist() for value in shares.max(1)), strict=True)
    ]


def test_real_images_get_the_classes_that_the_network_gives(exported, predict, images, tmp_path):
    np.save(tmp_path / "many.npy", images.pixels)
    np.savez(tmp_path / "grey.npz", y=images.labels, x=images.pixels[..., 0])
    np.save(tmp_path / "one.npy", images.pixels[3, :, :, 0])
    done = predict("many.npy", "grey.npz", "one.npy", without=["PIL"])
    lines = done.stdout.splitlines()
    classes = expected(exported[0], images)

    assert done.returncode == 0, done.stderr
    assert lines[:40] == [f"many.npy[{n}]: {name}" for n, name in enumerate(classes)]
    assert [line.split(": ")[1] for line in lines[40:80]] == classes
    assert lines[80] == f"one.npy: {classes[3]}"


def test_pictures_are_read_with_pillow_and_brought_to_size(exported, predict, images, tmp_path):
    digit = Image.fromarray(images.pixels[5, :, :, 0])
    digit.save(tmp_path / "digit.png")
    wide = Image.new("RGB", (24, 8))  # the digit in the middle
    wide.paste(digit.convert("RGB"), (8, 0))
    wide.save(tmp_path / "wide.png")
    wide.resize((48, 16)).save(tmp_path / "large.png")
    lines = predict("digit.png", "wide.png", "large.png").stdout.splitlines()

    assert lines[0] == f"digit.png: {expected(exported[0], images)[5]}"
    assert lines[1] == lines[0].replace("digit", "wide")
    assert lines[2].startswith("large.png: ")


def test_what_cannot_be_read_is_said_without_a_traceback(predict, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    np.save(tmp_path / "large.npy", np.zeros((28, 28), dtype=np.uint8))

    for done, told in (
        (predict("a.png", without=["PIL"]), "a.png: only .npy and .npz are read without Pillow"),
        (predict("large.npy"), "large.npy: images must be 8x8 of 1 channel"),
        (predict(), "Say what the model.onnx"),
    ):
        assert done.returncode == 1
        assert told in done.stderr
        assert "Traceback" not in done.stderr
