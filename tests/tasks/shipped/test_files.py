"""Who is in which split, and pixels of one size."""

import numpy as np
import pytest
from PIL import Image

from autodepth.data.settings import DataSettings, Normalisation
from autodepth.errors import DataError
from autodepth.tasks.shipped.files import drawn_splits, normalised, size_of, stretched


def pictures(folder, count, size=(6, 4)):
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(len(str(folder)))
    paths = []
    for number in range(count):
        paths.append(folder / f"{number}.png")
        Image.fromarray(generator.integers(0, 255, size, dtype=np.uint8)).save(paths[-1])
    return paths


def settings(**given):
    return DataSettings(name="coco:somewhere", **given)


def test_what_is_not_set_apart_is_drawn_by_content(tmp_path):
    paths = pictures(tmp_path, 60)
    splits = drawn_splits({"train": paths}, settings(validation=0.2))
    reversed_ = drawn_splits({"train": paths[::-1]}, settings(validation=0.2))

    parts = {split: set(index.tolist()) for split, (_, index) in splits.items()}
    assert set.union(*parts.values()) == set(range(60))
    assert sum(map(len, parts.values())) == 60
    for split, (_, index) in reversed_.items():
        assert {59 - number for number in index.tolist()} == parts[split]


def test_the_only_part_held_out_is_the_test_split(tmp_path):
    parts = {"train": pictures(tmp_path / "a", 30), "validation": pictures(tmp_path / "bb", 5)}
    splits = drawn_splits(parts, settings(validation=6, train_images=10))

    assert splits["test"][0] == "validation"
    assert {s: len(index) for s, (_, index) in splits.items()} == {
        "test": 5,
        "validation": 6,
        "train": 10,
    }
    parts["test"] = pictures(tmp_path / "ccc", 4)
    splits = drawn_splits(parts, settings())
    assert [splits[s][0] for s in ("train", "validation", "test")] == [
        "train",
        "validation",
        "test",
    ]


def test_too_few_are_told(tmp_path):
    with pytest.raises(DataError, match="at least 2 images"):
        drawn_splits({"train": pictures(tmp_path, 4)}, settings())


def test_images_are_stretched_and_their_sizes_told(tmp_path):
    paths = [*pictures(tmp_path / "a", 1), *pictures(tmp_path / "b", 1, (3, 8))]
    with pytest.raises(DataError, match=r"one size.*set data\.image_size"):
        size_of(paths, settings())
    size, channels = size_of(paths, settings(image_size=5))
    pixels, before = stretched(paths, size, channels)

    assert (size, channels) == ((5, 5), 1)
    assert pixels.shape == (2, 5, 5, 1)
    assert before.tolist() == [[6, 4], [3, 8]]
    constants = Normalisation((0.5,), (0.25,))
    np.testing.assert_allclose(
        normalised(pixels, constants)[:, 0], (pixels[..., 0] / 255 - 0.5) / 0.25, rtol=1e-4
    )


def test_all_images_that_cannot_be_read_are_told_together(tmp_path):
    paths = pictures(tmp_path, 5)
    for path in paths[1:3]:
        path.write_bytes(b"nothing")
    with pytest.raises(DataError) as caught:
        stretched(paths, (6, 4), 1)

    assert [str(paths[n]) in str(caught.value) for n in range(5)] == [
        False,
        True,
        True,
        False,
        False,
    ]
