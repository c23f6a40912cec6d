"""Who says what images are normalised with, and that it is told."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from autodepth.data.images import ArrayImages
from autodepth.data.load import load_data
from autodepth.data.settings import DataSettings, Normalisation
from autodepth.errors import DataError
from autodepth.networks.catalogue import NetworkSpec
from autodepth.networks.weights.own_files import save_weights
from autodepth.trial.phases.given_normalisation import choose_normalisation

COLOUR, GREY = NetworkSpec(name="resnet14"), NetworkSpec(name="resnet14", channels=1)
IMAGENET = (0.485, 0.456, 0.406)


@pytest.fixture(scope="module")
def data():
    """Images of one grey, as many as needed to know their statistics."""
    found = load_data(DataSettings(name="digits", train_images=20, validation=20))
    pixels = np.full((20, 8, 8, 1), 51, np.uint8)
    pixels[::2] = 153
    return replace(found, train=ArrayImages(pixels, found.train.labels))


@pytest.fixture
def weights(tmp_path):
    save_weights(torch.nn.Linear(1, 1), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def asking(data, what):
    return replace(data, settings=replace(data.settings, normalisation=what))


def test_without_given_weights_it_is_of_the_training_images_and_no_note(data):
    chosen, notes = choose_normalisation(data, GREY, None)

    assert chosen.mean == (pytest.approx(0.4),)
    assert chosen.std == (pytest.approx(0.2),)
    assert notes == []


def test_given_weights_that_tell_nothing_are_taken_for_imagenets(data, weights):
    chosen, (note,) = choose_normalisation(data, COLOUR, weights)

    assert chosen.mean == IMAGENET
    assert "ImageNet's, as most public weights have them" in note


def test_constants_beside_the_weights_are_taken_and_named(data, weights):
    beside = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
    (weights.parent / "preprocessor_config.json").write_text(json.dumps(beside))
    chosen, (note,) = choose_normalisation(data, COLOUR, weights)

    assert (chosen.mean, chosen.std) == ((0.5,) * 3, (0.25,) * 3)
    assert "preprocessor_config.json beside the weights" in note


def test_a_person_who_says_constants_has_the_last_word(data, weights):
    said = Normalisation((0.1,), (0.2,))
    chosen, (note,) = choose_normalisation(asking(data, said), COLOUR, weights)

    assert chosen.mean == (0.1,) * 3  # one for all channels
    assert "as data.normalisation says" in note


def test_given_weights_of_grey_networks_are_normalised_as_the_images(data, weights):
    chosen, (note,) = choose_normalisation(data, GREY, weights)

    assert len(chosen.mean) == 1
    assert "of the training images" in note


def test_constants_for_another_number_of_channels_are_refused(data):
    said = Normalisation((0.1, 0.2), (0.2, 0.2))
    with pytest.raises(DataError):
        choose_normalisation(asking(data, said), COLOUR, None)
