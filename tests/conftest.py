"""Small real images and settings that several rooms train on."""

from __future__ import annotations

import os
from pathlib import Path

# Before anything imports torch: on small images a second thread costs more than it brings, and
# on a busy machine threads that wait for each other take many times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

# A busy machine must not fail a property.
settings.register_profile("autodepth", deadline=None)
settings.load_profile("autodepth")


@pytest.fixture(autouse=True)
def _own_study_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the studies of another, or of the person who runs them."""
    monkeypatch.setenv("AUTODEPTH_HOME", str(tmp_path / "studies"))
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture(scope="session")
def grey_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real handwritten digits as a file of 28x28 grey images, as a person would bring them."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.stack(
        [
            np.asarray(Image.fromarray((image * 15.9375).astype(np.uint8)).resize((28, 28)))
            for image in digits.images[:600]
        ]
    )
    file = tmp_path_factory.mktemp("data") / "grey.npz"
    labels = digits.target[:600]
    np.savez(
        file, x_train=pixels[:500], y_train=labels[:500], x_test=pixels[500:], y_test=labels[500:]
    )
    return file
