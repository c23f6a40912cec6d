"""The plan says how many images of each class are in each split of a person's own data."""

import numpy as np
import pytest

from autodepth.cli.search.plan_and_result import data_lines
from autodepth.data.load import load_data
from autodepth.data.settings import DataSettings


def npz_of(path, classes):
    labels = np.repeat(np.arange(classes), 10)
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8), dtype=np.uint8)
    np.savez(path, x_train=pixels, y_train=labels, x_test=pixels[::2], y_test=labels[::2])
    return DataSettings(name=f"npz:{path}", validation=2 * classes)


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (2, "classes   0 8/2/5, 1 8/2/5 (train/validation/test)"),
        (12, "classes   8 of each/2 of each/5 of each (train/validation/test)"),
    ],
)
def test_classes_are_told_each_where_they_are_few(tmp_path, classes, told):
    lines = data_lines(load_data(npz_of(tmp_path / "images.npz", classes)), "1x8x8")
    assert f"{5 * classes} to test, {classes} classes, 1x8x8" in lines[0]
    assert lines[1] == told


def test_of_sets_that_cannot_change_the_test_images_are_not_counted():
    (line,) = data_lines(load_data(DataSettings(name="digits")), "1x8x8")
    assert line == "data      digits: 1,294 images to train on, 144 to validate, 10 classes, 1x8x8"
