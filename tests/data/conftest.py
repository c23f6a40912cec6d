"""Small real image files and arrays."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autodepth.data.images import ArrayImages


@pytest.fixture
def random_images() -> Callable[..., ArrayImages]:
    """Make images of random pixels, the classes in turn."""

    def make(count: int, size: int = 16, channels: int = 3, classes: int = 4) -> ArrayImages:
        rng = np.random.default_rng(count)
        pixels = rng.integers(0, 256, (count, size, size, channels), dtype=np.uint8)
        return ArrayImages(pixels, np.arange(count, dtype=np.int64) % classes)

    return make


@pytest.fixture
def make_classes() -> Callable[..., Path]:
    """Write ROOT/CLASS/NUMBER.EXT with random pixels."""

    def make(
        root: Path,
        names: str = "cat dog",
        count: int = 10,
        *,
        size: tuple[int, int] = (16, 16),
        mode: str = "RGB",
        extension: str = "jpg",
    ) -> Path:
        rng = np.random.default_rng(len(names) + count)
        for name in names.split():
            (root / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                image = Image.fromarray(pixels).convert(mode)
                image.save(root / name / f"{number}.{extension}")
        return root

    return make
