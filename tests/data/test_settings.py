"""Data settings refuse what cannot be meant, and survive JSON."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.data.settings import AUGMENTS, NAMES, DataSettings, Normalisation
from autodepth.errors import DataError, InputError

finite = st.floats(-10, 10)
normalisations = st.builds(
    lambda pairs: Normalisation(
        mean=tuple(m for m, _ in pairs), std=tuple(abs(s) + 0.1 for _, s in pairs)
    ),
    st.lists(st.tuples(finite, finite), min_size=1, max_size=3),
)
settings = st.builds(
    DataSettings,
    name=st.sampled_from([*NAMES, "folder:a b/c:d", "npz:x.npz"]),
    validation=st.floats(0.01, 0.99) | st.integers(1, 9999),
    train_images=st.none() | st.integers(1, 9999),
    image_size=st.none() | st.integers(1, 512),
    augment=st.sampled_from(AUGMENTS),
    normalisation=st.sampled_from(["auto", "data", "imagenet"]) | normalisations,
    split_seed=st.integers(),
)


@given(settings)
def test_reading_what_was_written_gives_the_same_settings(given_settings):
    text = json.dumps(given_settings.to_dict())
    assert DataSettings.from_dict(json.loads(text)) == given_settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "cifar"}, "did you mean 'cifar10'"),
        ({"name": "folder:"}, "lacks a path: write folder:PATH"),
        ({"name": "mine.npz"}, "did you mean 'npz:mine.npz'"),
        ({"name": "digits", "validation": 1.0}, r"data.validation must be a share in \(0, 1\)"),
        ({"name": "digits", "validation": 0}, "but got 0"),
        ({"name": "digits", "validation": True}, "but got True"),
        ({"name": "digits", "train_images": 0}, "data.train_images must be a whole number above 0"),
        ({"name": "digits", "image_size": 31.5}, "but got 31.5"),
        ({"name": "digits", "packed_size": 224}, "is for folder:PATH and unlabelled:PATH"),
        ({"name": "folder:x", "packed_size": 224}, "at least data.image_size, but .*=None"),
        (
            {"name": "folder:x", "image_size": 224, "packed_size": 160},
            "at least data.image_size, but got packed_size=160 and image_size=224",
        ),
        ({"name": "digits", "augment": "flip"}, "did you mean 'flip-crop'"),
        ({"name": "digits", "normalisation": "image-net"}, "did you mean 'imagenet'"),
        ({"name": "digits", "normalisation": {"mean": [0.5]}}, "one mean and one std per channel"),
        ({"name": "digits", "normalisation": {"mean": [0.5], "std": [0.0]}}, "must be above 0"),
        ({"name": "digits", "normalisation": {"means": []}}, "did you mean 'mean'"),
        ({"name": "digits", "spilt_seed": 1}, "did you mean 'split_seed'"),
        ({}, "data.name is missing"),
    ],
)
def test_a_mistake_is_named_with_what_was_given(values, message):
    with pytest.raises(DataError, match=message):
        DataSettings.from_dict(values)


def test_a_bare_folder_name_is_answered_with_its_prefix(tmp_path: Path):
    with pytest.raises(InputError, match=f"did you mean 'folder:{tmp_path}'"):
        DataSettings(name=str(tmp_path))
