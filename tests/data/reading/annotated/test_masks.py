"""Folders of images and masks as people have them, and what in them does not fit."""

import numpy as np
import pytest
from PIL import Image

from autodepth.data.reading.annotated.masks import read_masks
from autodepth.errors import DataError


def write(images, masks, names=("a", "b", "c"), of_masks=None):
    """Write an image and a mask of each name."""
    for folder, wanted in ((images, names), (masks, names if of_masks is None else of_masks)):
        folder.mkdir(parents=True, exist_ok=True)
        for name in wanted:
            Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / f"{name}.png")


def test_one_pair_of_folders_is_all_there_is(tmp_path):
    write(tmp_path / "images", tmp_path / "masks", of_masks=("a_mask", "b", "c"))
    found = read_masks(tmp_path)

    assert set(found) == {"train"}
    assert [path.name for path in found["train"].masks] == ["a_mask.png", "b.png", "c.png"]
    assert found["train"].subset(np.array([2])).paths == (tmp_path / "images" / "c.png",)


def test_splits_stand_above_or_below_them(tmp_path):
    for split in ("train", "val", "test"):
        write(tmp_path / "one" / split / "images", tmp_path / "one" / split / "masks")
    for split in ("training", "validation"):
        write(tmp_path / "two" / "images" / split, tmp_path / "two" / "annotations" / split)

    assert set(read_masks(tmp_path / "one")) == {"train", "validation", "test"}
    assert set(read_masks(tmp_path / "two")) == {"train", "validation"}


def test_all_that_have_no_other_are_told(tmp_path):
    write(tmp_path / "images", tmp_path / "masks", ("a", "b", "c"), ("b", "d"))
    with pytest.raises(DataError) as caught:
        read_masks(tmp_path)

    told = str(caught.value).splitlines()
    assert len(told) == 3
    assert [line.partition(":")[0][-5:] for line in told] == ["a.png", "c.png", "d.png"]
    assert told[2].endswith(f"there is no image of this mask in {tmp_path / 'images'}")


def test_folders_of_another_kind_are_told(tmp_path):
    with pytest.raises(DataError, match="there is none at"):
        read_masks(tmp_path / "nowhere")
    write(tmp_path / "cats", tmp_path / "dogs")
    with pytest.raises(DataError, match=r"must hold images/ and masks/.* holds cats, dogs"):
        read_masks(tmp_path)
