"""Sequences through a whole study: own network, own task, searched, exported, tested."""

import sys
from pathlib import Path

import onnxruntime
import pytest

from autodepth.export.testing.evaluation import evaluate_bundle
from autodepth.tasks import own_task

FILE = Path(__file__).parent / "waves.py"
SPACE = """
version: 1
network: waves:resnet
task: waves:Waves
search:
  p_L: {min: 0.5, max: 1.0}
  branches_removed: {type: int, min: 1, max: 3}
train: {epochs: 4, batch_size: 40, learning_rate: 0.05}
sensitivity: {images: 40}
confirmation: {share: 0}
"""


@pytest.fixture(autouse=True)
def _file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    (tmp_path / "waves.py").write_text(FILE.read_text())
    yield
    sys.modules.pop("waves", None)
    own_task._made.cache_clear()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_waves_are_told_apart_by_shallower_networks(studied):
    found = studied(SPACE, 3, own_code=True)

    assert min(member.point.macs for member in found.front) < found.unpruned["macs"]
    assert "float32 [batch, 1, 96]" in found.card
    assert "Inputs are 96 long; no other size was tried." in found.card
    (given,) = onnxruntime.InferenceSession(found.bundle / "model.onnx").get_inputs()
    assert given.shape[1:] == [1, 96]
    result = evaluate_bundle(found.bundle, own_code=True)
    assert result.metrics["test_right"] > 0.6  # by chance 0.33
