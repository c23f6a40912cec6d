"""Class folders: both layouts, any size and colour, and messages that name the file."""

import numpy as np
import pytest
from PIL import Image

from autodepth.data.images import ArrayImages, FileImages
from autodepth.data.load import load_data
from autodepth.data.reading import folders
from autodepth.data.reading.folders import held, read_folder, read_unlabelled
from autodepth.data.settings import DataSettings
from autodepth.errors import DataError


def read_both(root, image_size=None):
    parts = read_folder(root, image_size)
    return [held(parts.train), held(parts.test())]


def contents(*images):
    return {image.tobytes() for part in images for image in part.pixels}


def test_train_and_test_folders_are_the_parts(tmp_path, make_classes):
    make_classes(tmp_path / "train", "dog cat", 6)
    make_classes(tmp_path / "test", "dog cat", 3)
    train, test = read_both(tmp_path)
    assert read_folder(tmp_path, None).classes == ("cat", "dog")
    assert train.labels.tolist() == [0] * 6 + [1] * 6
    assert test.labels.tolist() == [0] * 3 + [1] * 3
    with Image.open(tmp_path / "test/dog/0.jpg") as image:
        assert np.asarray(image).tobytes() in {pixels.tobytes() for pixels in test.pixels[3:]}


@pytest.mark.parametrize("extension", ["png", "bmp", "webp", "jpeg", "JPG"])
def test_class_folders_alone_are_split_and_disjoint(tmp_path, make_classes, extension):
    make_classes(tmp_path, count=50, extension=extension)
    train, test = read_both(tmp_path)
    assert len(train) + len(test) == 100
    assert 10 < len(test) < 32
    assert len(contents(train, test)) == 100


def test_image_size_resizes_the_shorter_side_and_cuts_out_the_centre(tmp_path, make_classes):
    make_classes(tmp_path, count=5, size=(40, 20), extension="png")
    parts = [part.pixels for part in read_both(tmp_path, 20)]
    assert parts[0].shape[1:] == (20, 20, 3)
    with Image.open(tmp_path / "cat/0.png") as image:
        centre = np.asarray(image)[:, 10:30]
    assert any(np.array_equal(centre, image) for part in parts for image in part)


def test_grey_images_stay_grey_and_join_colour_ones(tmp_path, make_classes):
    make_classes(tmp_path / "grey", mode="L")
    make_classes(tmp_path / "both", "cat")
    make_classes(tmp_path / "both", "dog", mode="L")
    assert read_folder(tmp_path / "grey", None).train.shape == (16, 16, 1)
    assert read_folder(tmp_path / "both", None).train.shape == (16, 16, 3)


def test_a_large_set_stays_files_with_the_same_pixels(tmp_path, make_classes, monkeypatch):
    make_classes(tmp_path, size=(30, 24))
    decoded, _ = read_both(tmp_path, 16)
    monkeypatch.setattr(folders, "IN_MEMORY_BYTES", 0)
    files, _ = read_both(tmp_path, 16)
    assert isinstance(decoded, ArrayImages)
    assert isinstance(files, FileImages)
    np.testing.assert_array_equal(files.decode_all().pixels, decoded.pixels)
    np.testing.assert_array_equal(files.labels, decoded.labels)


def test_what_tools_leave_behind_is_passed_over_and_other_files_are_told(tmp_path, make_classes):
    make_classes(tmp_path)
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / "cat/._0.jpg").write_bytes(b"resource fork")
    (tmp_path / "cat/boxes.txt").write_text("0 0 1 1")
    parts = read_folder(tmp_path, None)
    assert parts.classes == ("cat", "dog")
    (note,) = parts.notes
    assert f"left out of {tmp_path}: 1 that are no images" in note
    assert "the first is cat/boxes.txt" in note


def _cut_short(root):
    path = root / "cat/3.jpg"
    path.write_bytes(path.read_bytes()[:200])


def _deepen(root):
    Image.fromarray(np.zeros((16, 16), dtype=np.uint16)).save(root / "dog/3.png")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "cat/3.jpg").write_text("no image"), r"cat/3.jpg cannot be read"),
        (_cut_short, r"cat/3.jpg cannot be read"),
        (_deepen, r"8 bits per channel, but .*dog/3.png"),
        (
            lambda root: Image.new("RGB", (20, 16)).save(root / "dog/3.jpg"),
            r"dog/3.jpg has 20x16 pixels .* 16x16; set data.image_size .*data.image_size=16",
        ),
        (lambda root: (root / "fox").mkdir(), r"must hold images \(.jpg.*fox has none"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, make_classes, spoil, message):
    make_classes(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message):
        read_both(tmp_path)


def test_a_colour_image_among_grey_ones_is_named(tmp_path, make_classes):
    make_classes(tmp_path, mode="L", count=5)
    Image.new("RGB", (16, 16)).save(tmp_path / "dog/3.jpg")
    with pytest.raises(DataError, match=r"dog/3.jpg is in colour"):
        read_both(tmp_path)


def test_other_classes_in_the_test_folder_are_an_error(tmp_path, make_classes):
    make_classes(tmp_path / "train", "cat dog")
    make_classes(tmp_path / "test", "cat fox")
    with pytest.raises(DataError, match="same classes, but 'dog' is in train/ only"):
        read_folder(tmp_path, None)


def test_a_folder_that_is_missing_or_holds_one_class_is_an_error(tmp_path, make_classes):
    with pytest.raises(DataError, match="there is none at"):
        read_folder(tmp_path / "nowhere", None)
    with pytest.raises(DataError, match="at least 2, but has 1"):
        read_folder(make_classes(tmp_path, "cat"), None)


def test_without_labels_all_images_at_any_depth_are_taken(tmp_path, make_classes):
    make_classes(tmp_path, "dog cat", 20)
    make_classes(tmp_path / "deep", "dog", 10)
    (tmp_path / "notes.txt").write_text("no image")
    parts = read_unlabelled(tmp_path, None)
    test = parts.test()

    assert len(parts.train) + len(test) == 50
    assert len(test) > 0
    assert not parts.train.labels.any()
    assert "1 that are no images" in parts.notes[0]


def test_images_without_labels_have_no_test(tmp_path, make_classes):
    make_classes(tmp_path, "dog cat", 20)
    data = load_data(DataSettings(name=f"unlabelled:{tmp_path}"))

    with pytest.raises(DataError, match="tested on labelled images, but unlabelled:"):
        data.open_test()


def test_answers_of_a_network_take_the_place_of_labels(tmp_path, make_classes):
    make_classes(tmp_path, "dog cat", 20)
    data = load_data(DataSettings(name=f"unlabelled:{tmp_path}"))
    train, validation = (np.arange(len(part)) % 3 for part in (data.train, data.validation))
    answered = data.answered(train, validation, classes=4)

    assert answered.classes == ("0", "1", "2", "3")
    assert answered.train.labels is train
    assert answered.validation.labels is validation
    assert answered.train.pixels is data.train.pixels
