"""Embeddings of identities in class folders: searched, exported without the head, tested."""

import json

import pytest
from PIL import Image
from safetensors.numpy import load_file
from sklearn.datasets import load_digits

from autodepth.export.testing.evaluation import evaluate_bundle

SPACE = """
version: 1
network: resnet14
task: {name: embedding, arguments: {dimension: 16, head: arcface, margin: 0.2, scale: 16}}
data: folder:people
search:
  p_L: {min: 0.5, max: 1.0}
  branches_removed: {type: int, min: 0, max: 4}
train: {epochs: 3, batch_size: 64, learning_rate: 0.1}
sensitivity: {images: 64}
confirmation: {share: 0}
"""


def write_people(folder):
    """Write digits as ten people: a folder of images each."""
    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        place = folder / f"person{label}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15.9375).astype("uint8")).save(place / f"{number}.png")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_identities_never_seen_are_told_apart(studied, tmp_path):
    write_people(tmp_path / "people")
    found = studied(SPACE, trials=4)

    weights = load_file(found.bundle / "model.safetensors")
    assert not [name for name in weights if "head" in name]
    assert "embedding" in found.card
    assert "a vector per image" in found.card
    assert "image-feature-extraction" in found.card
    told = json.loads((found.bundle / "architecture.json").read_text())
    assert told["task"]["name"] == "embedding"
    assert str(tmp_path) not in "".join(p.read_text() for p in found.bundle.glob("*.json"))
    result = evaluate_bundle(found.bundle)
    assert list(result.metrics) == [
        "test_recall_at_1",
        "test_verification_accuracy",
        "test_tar_at_far_1e_3",
    ]
    assert result.metrics["test_recall_at_1"] > 0.8
    assert result.data == "folder:people"
    first, *_, last = sorted((tmp_path / "people" / "person3").iterdir())
    same, other = found.predicted(first, first, last)[1:]
    assert same == "1.000 (cosine to the first image)"
    assert -1 < float(other.split()[0]) < 1
    (tmp_path / "people").rename(tmp_path / "moved")
    moved = evaluate_bundle(found.bundle, f"folder:{tmp_path / 'moved'}")
    assert moved.metrics == result.metrics
    assert moved.openings_before == 0
