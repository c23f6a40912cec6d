"""Arrays that are images and classes, and the way out for others."""

from pathlib import Path

import numpy as np
import pytest

from autodepth.data.images import ArrayImages
from autodepth.data.reading.array_images import class_names, labelled_images
from autodepth.errors import DataError

FILE = Path("some.npz")
PIXELS, LABELS = np.zeros((4, 5, 6, 3), np.uint8), np.array([0, 1, 0, 1])


def refusal(pixels=PIXELS, labels=LABELS):
    with pytest.raises(DataError) as error:
        labelled_images(pixels, labels, "train", FILE)
    return str(error.value)


def test_grey_images_get_a_channel_and_labels_of_a_column_become_a_row():
    found = labelled_images(PIXELS[..., 0], LABELS[:, None].astype(np.uint8), "train", FILE)

    assert found.pixels.shape == (4, 5, 6, 1)
    assert found.labels.dtype == np.int64
    assert found.labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("pixels", "told"),
    [
        (PIXELS / 255, "np.clip(x * 255, 0, 255).round().astype(np.uint8)"),
        (PIXELS.astype(np.uint16), "(x >> 8).astype(np.uint8)"),
        (PIXELS.astype(bool), "x.astype(np.uint8) * 255"),
        (PIXELS.transpose(0, 3, 1, 2), "x.transpose(0, 2, 3, 1)"),
        (np.zeros((4, 5, 6, 4), np.uint8), "x[..., :3]"),
        (np.zeros((4, 0, 6, 3), np.uint8), "x_train of some.npz must hold images, but is empty"),
    ],
)
def test_other_pixels_are_refused_with_the_line_that_mends_them(pixels, told):
    assert told in refusal(pixels=pixels)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.eye(4), "y.argmax(axis=1)"),
        (np.array(["a", "b", "a", "b"]), "np.unique(y, return_inverse=True)"),
        (LABELS / 1.0, "y.astype(np.int64)"),
        (LABELS - 1, "must hold classes from 0, but got -1"),
        (np.array([0, 1, 0, 2**63], np.uint64), "below 2^63"),
        (LABELS[:3], "must be 4 whole numbers, one class per image, but got int64 [3]"),
    ],
)
def test_other_labels_are_refused_with_the_line_that_mends_them(labels, told):
    assert told in refusal(labels=labels)


def images(*labels):
    return ArrayImages(np.zeros((len(labels), 2, 2, 1), np.uint8), np.array(labels))


def test_classes_are_numbers_without_a_gap():
    assert class_names(images(0, 2, 1), images(0), FILE) == ("0", "1", "2")
    for train, test, told in (
        (images(0, 7), images(0), "has 2 different ones up to 7"),
        (images(0, 0), images(0), "at least 2 classes"),
        (images(0, 1), images(2), r"y_test of some.npz must hold labels of y_train, 0 to 1"),
    ):
        with pytest.raises(DataError, match=told):
            class_names(train, test, FILE)
