"""Numbers told of images, from a CSV file: searched, exported, tested."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from autodepth.export.testing.evaluation import evaluate_bundle

SPACE = """
version: 1
network: resnet14
task: regression
data: csv:ink/ink.csv
search:
  p_L: {min: 0.5, max: 1.0}
  branches_removed: {type: int, min: 0, max: 3}
train: {epochs: 6, batch_size: 32, learning_rate: 0.05}
sensitivity: {images: 40}
confirmation: {share: 0}
"""


def write_ink(folder, count=400):
    """Write digits, and where their ink has its centre, in pixels from the left and the top."""
    folder.mkdir()
    lines = ["image,across,down"]
    for number, image in enumerate(load_digits().images[:count]):
        Image.fromarray((image * 15.9).astype(np.uint8)).save(folder / f"{number}.png")
        across, down = (image.sum(axis) @ np.arange(8) / image.sum() for axis in (0, 1))
        lines.append(f"{number}.png,{across:.4f},{down:.4f}")
    (folder / "ink.csv").write_text("\n".join(lines))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_where_the_ink_is_is_told_by_shallower_networks(studied, tmp_path):
    write_ink(tmp_path / "ink")
    found = studied(SPACE, 3)

    assert min(member.point.macs for member in found.front) < found.unpruned["macs"]
    assert "the numbers themselves" in found.card
    assert "They stand for: across, down." in found.card
    (told,) = found.predicted(tmp_path / "ink" / "0.png")
    across, down = (part.split() for part in told.split(", "))
    assert (across[0], down[0]) == ("across", "down")
    assert 2 < float(across[1]) < 5
    result = evaluate_bundle(found.bundle)
    assert list(result.metrics) == ["test_mae", "test_r2"]
    assert result.metrics["test_mae"] < 0.2  # of who always tells the mean: 0.26
