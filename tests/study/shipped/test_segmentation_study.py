"""Segmentation of handwritten digits in scenes: searched, exported, tested."""

import sys
from pathlib import Path

import pytest
from digit_scenes import write_scenes

from autodepth.export.testing.evaluation import evaluate_bundle

NETWORK = Path(__file__).parents[2] / "tasks" / "shipped" / "small_maps.py"
SPACE = """
version: 1
network: "small_maps:Maps"
task: {name: segmentation, arguments: {classes: [ground, nought, one]}}
data: {name: masks:scenes, augment: none}
search:
  p_L: {min: 0.5, max: 1.0}
  branches_removed: {type: int, min: 0, max: 3}
train: {epochs: 5, batch_size: 16, learning_rate: 0.05}
sensitivity: {images: 20}
confirmation: {share: 0}
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_pixels_of_digits_are_told_by_shallower_networks(studied, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    write_scenes(tmp_path / "scenes", {"train": 80, "valid": 30, "test": 30}, size=48, classes=2)
    (tmp_path / "small_maps.py").write_text(NETWORK.read_text())
    found = studied(SPACE, 3, own_code=True)
    sys.modules.pop("small_maps", None)

    assert min(member.point.macs for member in found.front) < found.unpruned["macs"]
    assert "image-segmentation" in found.card
    assert "They stand for: ground, nought, one." in found.card
    (told,) = found.predicted(tmp_path / "scenes" / "test" / "images" / "0000.png")
    assert told.startswith("ground ")
    result = evaluate_bundle(found.bundle, own_code=True)
    assert list(result.metrics) == ["test_miou", "test_pixel_accuracy"]
    assert result.metrics["test_miou"] > 0.4  # of the ground alone: 0.3
