"""Data sets of Hugging Face, saved by the library itself: read whole, split, and told of."""

import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from autodepth.data.load import load_data
from autodepth.data.reading.hub_images import read_hub_images
from autodepth.data.settings import DataSettings, absolute_paths, without_place
from autodepth.errors import DataError

datasets = pytest.importorskip("datasets")
NAMES = [f"digit {n}" for n in range(10)]


@pytest.fixture(scope="module")
def digits():
    """Return 120 digits [120, 8, 8] and their labels."""
    found = load_digits()
    return (found.images[:120] * 15.9375).astype(np.uint8), found.target[:120].tolist()


@pytest.fixture(autouse=True)
def _apart(tmp_path_factory, monkeypatch):
    """Keep what the library caches out of the home folder, and let it fetch nothing."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


def table(pixels, labels, **more):
    columns = {"image": [Image.fromarray(each) for each in pixels], "label": labels}
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES), **more}
    columns |= dict.fromkeys(more, labels)
    return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))


def test_what_was_saved_is_read_with_its_splits(digits, tmp_path):
    pixels, labels = digits
    splits = {"train": slice(0, 80), "validation": slice(80, 100), "test": slice(100, 120)}
    saved = {name: table(pixels[part], labels[part]) for name, part in splits.items()}
    datasets.DatasetDict(saved).save_to_disk(tmp_path / "digits")

    parts = read_hub_images(str(tmp_path / "digits"), None)

    np.testing.assert_array_equal(parts.train.pixels[..., 0], pixels[:80])
    np.testing.assert_array_equal(parts.train.labels, labels[:80])
    assert len(parts.validation) == len(parts.test()) == 20
    assert parts.classes == tuple(NAMES)
    assert not parts.drawn


def test_parquet_has_its_test_images_drawn_by_content(digits, tmp_path):
    pixels, labels = digits
    file = tmp_path / "digits.parquet"
    table(pixels, labels).to_parquet(file)
    settings = DataSettings(name=f"hf-data:{file}", image_size=16, validation=0.3)

    data = load_data(settings)
    again = load_data(settings)

    assert (data.height, data.width, data.channels) == (16, 16, 1)
    assert data.fingerprint == again.fingerprint
    assert data.record is not None
    counts = {split: sum(each) for split, each in data.counts.items()}
    assert sum(counts.values()) == 120
    assert 15 <= counts["test"] <= 40
    assert len(data.open_test()) == counts["test"]


def test_of_several_columns_label_is_taken_and_told(digits, tmp_path):
    pixels, labels = digits
    table(pixels, labels, coarse=datasets.ClassLabel(names=NAMES)).save_to_disk(tmp_path / "two")

    (note,) = read_hub_images(str(tmp_path / "two"), None).notes
    assert note.startswith("columns image and label of ")
    assert note.endswith("are taken, not coarse")


def test_values_are_classes_where_they_have_no_names(digits, tmp_path):
    pixels, labels = digits
    words = datasets.Value("string")
    found = table(pixels, labels).cast_column("label", datasets.Value("int64"))
    found = found.map(lambda row: {"label": "odd" if row["label"] % 2 else "even"}, features=
                      datasets.Features({"image": datasets.Image(), "label": words}))  # fmt: skip
    found.save_to_disk(tmp_path / "words")

    parts = read_hub_images(str(tmp_path / "words"), None)
    assert parts.classes == ("even", "odd")
    order = np.concatenate([parts.train.labels, parts.test().labels])
    assert sorted(order) == sorted(label % 2 for label in labels)


def test_offline_it_is_said_what_to_do():
    with pytest.raises(DataError) as told:
        read_hub_images("someone/birds", None)

    assert "hf-data:someone/birds could not be fetched" in str(told.value)
    assert "datasets.load_dataset('someone/birds').save_to_disk('FOLDER')" in str(told.value)


def test_what_holds_no_images_with_labels_is_refused(digits, tmp_path):
    pixels, _ = digits
    datasets.Dataset.from_dict({"text": ["a", "b"]}).save_to_disk(tmp_path / "text")
    with pytest.raises(DataError, match=r"has no column of images.*text \(Value\)"):
        read_hub_images(str(tmp_path / "text"), None)

    sizes = [Image.fromarray(pixels[0]), Image.fromarray(pixels[1]).resize((9, 8))]
    columns = {"image": sizes, "label": [0, 1]}
    datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "sizes")
    with pytest.raises(DataError, match=r"number 1 of .* has 9x8 pixels.*set data\.image_size"):
        read_hub_images(str(tmp_path / "sizes"), None)

    with pytest.raises(DataError, match="must name a folder, a parquet file or OWNER/NAME"):
        read_hub_images("birds", None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        read_hub_images(str(tmp_path / "empty"), None)


def test_the_library_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)

    with pytest.raises(DataError, match=r"pip install 'autodepth\[hf-data\]'"):
        read_hub_images("someone/birds", None)


def test_a_repository_is_no_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "birds").mkdir()

    assert absolute_paths("hf-data:someone/birds", "data") == {}
    assert absolute_paths("hf-data:birds", "data") == {"name": f"hf-data:{tmp_path / 'birds'}"}
    assert without_place("hf-data:someone/birds") == "hf-data:someone/birds"
    assert without_place(f"hf-data:{tmp_path / 'birds'}") == "hf-data:birds"
