"""Detection of handwritten digits in scenes: searched, exported, tested."""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from digit_scenes import write_scenes

from autodepth.errors import InputError
from autodepth.export.testing.evaluation import evaluate_bundle
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search

DETECTOR = Path(__file__).parents[2] / "tasks" / "shipped" / "small_detector.py"
SPACE = """
version: 1
network: {name: "small_detector:build", arguments: {depth: 2}}
task: detection
data: {name: coco:scenes, augment: none}
search:
  p_L: {min: 0.5, max: 1.0}
  branches_removed: {type: int, min: 0, max: 2}
train: {epochs: 8, batch_size: 16, learning_rate: 0.02}
sensitivity: {images: 20}
confirmation: {share: 0}
"""


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    """Scenes of two digits, and a small detector, in the test's own folder."""
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    write_scenes(tmp_path / "scenes", {"train": 120, "valid": 30, "test": 30}, classes=2)
    (tmp_path / "small_detector.py").write_text(DETECTOR.read_text())
    yield tmp_path
    sys.modules.pop("small_detector", None)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_digits_are_found_by_shallower_detectors(studied, scenes):
    found = studied(SPACE, 3, own_code=True)

    assert min(member.point.macs for member in found.front) < found.unpruned["macs"]
    session = onnxruntime.InferenceSession(found.bundle / "model.onnx")
    (numbers,) = session.run(None, {"images": np.zeros((2, 3, 64, 64), np.float32)})
    assert numbers.shape == (2, 64, 3 + 4 + 1)  # a cell each; scores, edges, how central it is
    assert "object-detection" in found.card
    assert "for every anchor" in found.card
    assert "They stand for: background, 0, 1." in found.card
    assert not (found.bundle / "predict.py").exists()
    result = evaluate_bundle(found.bundle, own_code=True)
    assert list(result.metrics) == ["test_map", "test_map_50"]
    assert result.metrics["test_map_50"] > 0.15
    assert result.images == 30


def test_a_network_that_is_no_detector_is_told(scenes, monkeypatch):
    monkeypatch.chdir(scenes)
    Path("space.yaml").write_text(SPACE)

    for network, told in (
        ("resnet14", "needs a detector of one stage, but resnet14 is none"),
        ("torchvision:fasterrcnn_resnet50_fpn", "computes a second stage for each proposal"),
    ):
        with pytest.raises(InputError, match=told):
            plan_search(SearchRequest(space="space.yaml", budget="2trials", network=network))
