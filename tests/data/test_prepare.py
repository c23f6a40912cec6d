"""Normalisation and augmentation: what `auto` means, and exact statistics."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from autodepth.data.images import ArrayImages, FileImages
from autodepth.data.load import load_data
from autodepth.data.prepare import (
    Augmentation,
    channel_statistics,
    resolve_augment,
    resolve_normalisation,
)
from autodepth.data.settings import IMAGENET, DataSettings, Normalisation
from autodepth.errors import DataError

DIGITS = DataSettings(name="digits")
pixels = st.sampled_from([1, 3]).flatmap(
    lambda channels: arrays.arrays(np.uint8, (7, 3, 2, channels))
)


@given(pixels)
def test_statistics_are_those_of_the_pixels(pixels):
    found = channel_statistics(ArrayImages(pixels, np.zeros(7, dtype=np.int64)))
    unit = pixels / 255
    np.testing.assert_allclose(found.mean, unit.mean(axis=(0, 1, 2)), atol=1e-12)
    std = np.maximum(unit.std(axis=(0, 1, 2)), 1 / 255)
    np.testing.assert_allclose(found.std, std, atol=1e-12)


def test_statistics_of_files_are_those_of_the_decoded_images(tmp_path, make_classes):
    make_classes(tmp_path)
    files = FileImages(
        folder=str(tmp_path),
        paths=("cat/1.jpg", "dog/2.jpg"),
        labels=np.array([0, 1]),
        shape=(16, 16, 3),
        resize=False,
    )
    assert channel_statistics(files) == channel_statistics(files.decode_all())


def test_auto_normalisation_is_imagenet_for_given_colour_weights_else_the_data(random_images):
    images = random_images(20)
    settings = replace(DIGITS, normalisation="auto")
    given = resolve_normalisation(settings, images, pretrained=True, channels=3)
    scratch = resolve_normalisation(settings, images, pretrained=False, channels=3)
    assert given == IMAGENET
    assert scratch == channel_statistics(images)


def test_grey_statistics_fill_the_channels_the_network_takes(random_images):
    images = random_images(20, channels=1)
    found = resolve_normalisation(DIGITS, images, pretrained=True, channels=1)
    three = resolve_normalisation(
        replace(DIGITS, normalisation="data"), images, pretrained=True, channels=3
    )
    assert three == Normalisation(mean=found.mean * 3, std=found.std * 3)


def test_constants_for_other_channels_are_an_error(random_images):
    with pytest.raises(DataError, match=r"must have 1 values, .* but 'imagenet' has 3"):
        resolve_normalisation(
            replace(DIGITS, normalisation="imagenet"),
            random_images(4, channels=1),
            pretrained=False,
            channels=1,
        )


@pytest.mark.parametrize(
    ("name", "channels", "size", "augment", "meant"),
    [
        ("digits", 1, 8, "auto", Augmentation()),
        ("digits", 1, 32, "auto", Augmentation()),
        ("digits", 1, 8, "flip-crop", Augmentation(crop=True, flip=True)),
        ("svhn", 3, 32, "auto", Augmentation(crop=True)),
        ("fashion-mnist", 1, 28, "auto", Augmentation(crop=True)),
        ("cifar10", 3, 32, "auto", Augmentation(crop=True, flip=True)),
        ("cifar10", 3, 32, "none", Augmentation()),
        ("npz:small.npz", 3, 12, "auto", Augmentation()),
    ],
)
def test_what_augment_means(name, channels, size, augment, meant):
    shape = (size, size, channels)
    assert resolve_augment(DataSettings(name=name, augment=augment), shape) == meant


def test_what_the_weights_were_trained_with_comes_before_the_usual_but_after_what_is_said():
    images = load_data(DIGITS).train
    known = Normalisation(mean=(0.5,) * 3, std=(0.4,) * 3)
    said = replace(DIGITS, normalisation=Normalisation(mean=(0.1,) * 3, std=(0.2,) * 3))

    taken = resolve_normalisation(DIGITS, images, pretrained=True, channels=3, known=known)
    asked = resolve_normalisation(said, images, pretrained=True, channels=3, known=known)

    assert taken == known
    assert asked == said.normalisation
