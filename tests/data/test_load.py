"""Loaded data: fixed disjoint splits, a closed test part, a fingerprint of what is held."""

import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autodepth.data.load import load_data
from autodepth.data.settings import DataSettings
from autodepth.errors import DataError

DIGITS = DataSettings(name="digits")
SHARED = Path(__file__).parents[3] / "shared/data/cifar10_jpeg.tar.xz"


def contents(images):
    return {image.tobytes() for image in images.pixels}


def test_splits_are_disjoint_and_together_the_whole_set():
    data = load_data(DIGITS)
    parts = [contents(part) for part in (data.train, data.validation, data.open_test())]
    assert [len(part) for part in parts] == [1294, 144, 359]
    assert len(set.union(*parts)) == 1797


def test_a_smaller_training_split_is_part_of_a_larger_and_validation_stays():
    small, large, full = (
        load_data(replace(DIGITS, train_images=count)) for count in (100, 300, None)
    )
    assert contents(small.train) < contents(large.train) < contents(full.train)
    assert contents(small.validation) == contents(full.validation)
    np.testing.assert_array_equal(np.bincount(small.train.labels), [10] * 10)


def test_the_fingerprint_changes_with_the_images_and_with_nothing_else():
    first = load_data(DIGITS).fingerprint
    same = [{"augment": "none"}, {"normalisation": "imagenet"}, {"validation": 144}]
    other = [{"split_seed": 1}, {"train_images": 200}, {"validation": 145}, {"image_size": 12}]
    assert {load_data(replace(DIGITS, **change)).fingerprint for change in same} == {first}
    assert len({first, *(load_data(replace(DIGITS, **c)).fingerprint for c in other)}) == 5


def test_image_size_resizes_images_held_in_memory():
    data = load_data(replace(DIGITS, image_size=16))
    assert (data.height, data.width, data.channels) == (16, 16, 1)
    assert data.open_test().shape == (16, 16, 1)


def test_data_sent_to_a_worker_is_the_same_and_can_still_open_its_test_part():
    data = load_data(DIGITS)
    sent = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(sent.train.pixels, data.train.pixels)
    assert (sent.settings, sent.fingerprint) == (data.settings, data.fingerprint)
    assert contents(sent.open_test()) == contents(data.open_test())


def test_nothing_that_is_sent_holds_the_test_images():
    data = load_data(DIGITS)
    sent = pickle.dumps(data)
    assert not any(image.tobytes() in sent for image in data.open_test().pixels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_images": 1295}, "at most 1294, what the validation split leaves of digits"),
        ({"train_images": 9}, "training split must hold an image of every class, but its 9"),
        ({"validation": 5}, "validation split must hold an image of every class, but its 5"),
        ({"validation": 1438}, "must leave images on both sides, but 1438 of the 1438"),
        ({"validation": 0.0001}, "0.0001 of the 1438 images of digits is 0"),
    ],
)
def test_too_few_images_are_an_error(change, message):
    with pytest.raises(DataError, match=message):
        load_data(replace(DIGITS, **change))


def test_test_images_of_another_size_are_an_error(tmp_path, make_classes):
    make_classes(tmp_path / "train")
    make_classes(tmp_path / "test", size=(20, 16))
    with pytest.raises(DataError, match="has 20x16 pixels and the first image 16x16"):
        load_data(DataSettings(name=f"folder:{tmp_path}"))


def test_cifar10_jpeg_folders(tmp_path):
    """Real photographs: a few dozen of each class, as they come."""
    if not SHARED.exists():
        pytest.skip("the CIFAR-10 JPEG archive is not beside this checkout")
    with tarfile.open(SHARED) as archive:
        members = []
        for member in archive:
            members += [member] if member.isfile() and member.name.endswith("07.jpg") else []
        archive.extractall(tmp_path, members, filter="data")
    top = next(tmp_path.rglob("train")).parent
    data = load_data(DataSettings(name=f"folder:{top}", validation=100))
    assert (data.height, data.width, data.channels, len(data.classes)) == (32, 32, 3, 10)
    assert (len(data.train), len(data.open_test())) == (400, 100)
