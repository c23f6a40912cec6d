"""Weights on their way from a node to the study."""

import pytest

from autodepth.study.driver.weight_uploads import WeightUploads
from autodepth.trial.result import OperatingPoint, TrialResult

RESULT = TrialResult(
    point=OperatingPoint(
        validation_accuracy=0.9, validation_loss=0.3, macs=1000, effective_macs=1000,
        parameters=10, size_bytes=40, latency_ms=1.0,
    ),
    removed=(), sensitivities={}, survival=(), parent_accuracy=0.9, pruned_accuracy=0.9,
    phase_seconds={}, weights_sha256="a" * 64,
)  # fmt: skip


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_weights_arrive_as_they_were_left_and_are_forgotten(tmp_path, kind):
    where = f"file://{tmp_path}/transit" if kind == "folder" else "memory://transit"
    transit, left = WeightUploads(where), tmp_path / "left"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"weights")
    transit.leave(7, RESULT, left)
    transit.fetch(7, RESULT, tmp_path / "study" / "7")

    assert [p.name for p in (tmp_path / "study" / "7").iterdir()] == ["model.safetensors"]
    assert (tmp_path / "study" / "7" / "model.safetensors").read_bytes() == b"weights"
    transit.forget(7, RESULT)
    with pytest.raises(FileNotFoundError):
        transit.fetch(7, RESULT, tmp_path / "study" / "8")
