"""Images are split by what they hold: more images, other names and copies move none."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from autodepth.data.content import ContentRecord, keys_of_files, keys_of_pixels, places
from autodepth.data.load import load_data
from autodepth.data.settings import DataSettings
from autodepth.data.splits import split_off_share
from autodepth.errors import DataError


def settings(root, **changes):
    return DataSettings(**{"name": f"folder:{root}", "validation": 0.3, **changes})


def contents(images):
    return {image.tobytes() for image in images.pixels}


def splits(root, **changes):
    data = load_data(settings(root, **changes))
    return [contents(part) for part in (data.train, data.validation, data.open_test())]


def _add(root, make_classes):
    make_classes(root / "new", "x", count=40, extension="png")
    for number in range(40):
        shutil.move(root / f"new/x/{number}.png", root / f"cat/{number - 20:+}.png")
    shutil.rmtree(root / "new")


@pytest.mark.parametrize("validation", [0.3, 0.1])
def test_more_images_move_none(tmp_path, make_classes, validation):
    before = splits(make_classes(tmp_path, count=30, extension="png"), validation=validation)
    _add(tmp_path, make_classes)
    after = splits(tmp_path, validation=validation)
    assert [old <= new for old, new in zip(before, after, strict=True)] == [True] * 3
    assert sum(map(len, after)) == 100


def test_fewer_images_move_none(tmp_path, make_classes):
    before = splits(make_classes(tmp_path, count=30, extension="png"))
    for number in range(8):
        (tmp_path / f"cat/{number}.png").unlink()
    after = splits(tmp_path)
    assert [new <= old for old, new in zip(before, after, strict=True)] == [True] * 3


def test_names_and_places_do_not_matter(tmp_path, make_classes):
    make_classes(tmp_path / "one", count=20, extension="png")
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    for number in range(20):
        (tmp_path / f"other/dog/{number}.png").rename(tmp_path / f"other/dog/z{40 - number}.PNG")
    first, second = (load_data(settings(tmp_path / name)) for name in ("one", "other"))
    assert first.fingerprint == second.fingerprint
    np.testing.assert_array_equal(first.record.test, second.record.test)


def test_copies_stay_on_one_side_in_whichever_class(tmp_path, make_classes):
    make_classes(tmp_path, count=30, extension="png")
    for number in range(30):
        shutil.copy(tmp_path / f"cat/{number}.png", tmp_path / f"cat/again{number}.png")
        shutil.copy(tmp_path / f"cat/{number}.png", tmp_path / f"dog/cat{number}.png")
    for validation in (0.3, 20):
        train, validating, test = splits(tmp_path, validation=validation)
        assert len(train | validating | test) == len(train) + len(validating) + len(test)
    notes = load_data(settings(tmp_path)).notes
    assert any("in more than one class" in note for note in notes)


def test_a_number_of_images_is_taken_in_proportion(tmp_path, make_classes):
    data = load_data(
        settings(make_classes(tmp_path, count=40, extension="png"), validation=16, train_images=20)
    )
    assert data.counts["validation"] == (8, 8)
    assert data.counts["train"] == (10, 10)


def test_a_given_validation_split_is_taken_whole_or_as_many_of_it(tmp_path, make_classes):
    for name, count in (("train", 10), ("val", 6), ("test", 4)):
        make_classes(tmp_path / name, count=count, extension="png")
    assert [len(part) for part in splits(tmp_path)] == [20, 12, 8]
    assert [len(part) for part in splits(tmp_path, validation=4)] == [20, 4, 8]


def test_half_of_the_test_part_validates(tmp_path, make_classes):
    for name, count in (("train", 10), ("test", 30)):
        make_classes(tmp_path / name, count=count, extension="png")
    whole = splits(tmp_path)
    train, validation, test = splits(tmp_path, validation_from="test")
    assert train == whole[0] | whole[1]
    assert validation | test == whole[2]
    assert not validation & test
    assert min(len(validation), len(test)) > 15
    assert splits(tmp_path, validation_from="test", split_seed=5)[2] == test
    assert len(splits(tmp_path, validation_from="test", validation=8)[1]) == 8


def test_a_source_that_validates_itself_does_not_give_test_images_for_it(tmp_path, make_classes):
    for name in ("train", "val", "test"):
        make_classes(tmp_path / name, count=6, extension="png")
    with pytest.raises(DataError, match=r"^data.validation_from must be train where"):
        load_data(settings(tmp_path, validation_from="test"))


def test_a_test_image_that_is_trained_on_as_well_is_told(tmp_path, make_classes):
    for name in ("train", "test"):
        make_classes(tmp_path / name, count=8, extension="png")
    Image.new("RGB", (16, 16)).save(tmp_path / "test/cat/own.png")
    (note,) = load_data(settings(tmp_path)).notes
    assert note.startswith("16 of 17 test images are among those to train on")


def test_the_split_of_an_earlier_version_is_found_again(tmp_path):
    """Pixels are by formula, so that positions and fingerprint are those once recorded."""
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for number in range(10):
            Image.new("L", (8, 8), 25 * number + label).save(tmp_path / f"{name}/{number}.png")
    earlier = {"name": f"folder:{tmp_path}", "validation": 0.25}
    data = load_data(DataSettings.from_dict(earlier))
    assert data.settings.split_rule == "position"
    assert sorted(data.open_test().pixels[:, 0, 0, 0].tolist()) == FORMER_TEST
    assert data.fingerprint == FORMER_FINGERPRINT
    assert data.record is None
    again = replace(data.settings, split_rule="content")
    assert load_data(again).fingerprint != FORMER_FINGERPRINT


FORMER_TEST = [0, 101, 151, 200]
FORMER_FINGERPRINT = "109b9fe2efebd2fcfb07835abe8ccc44109236654810d4c4b43f1816ff76d959"


label_sets = st.lists(st.integers(0, 4), min_size=2, max_size=80)


@given(label_sets, st.data(), st.sampled_from([0.1, 0.2, 0.5, 0.9]))
def test_a_share_has_images_of_every_class_on_both_sides(labels, data, share):
    labels = np.array(labels, dtype=np.int64)
    drawn = data.draw(st.permutations(range(len(labels))))
    keys = np.array(drawn, dtype=np.uint64)
    inside, outside = split_off_share(labels, keys, share, 0)
    assert sorted([*inside, *outside]) == list(range(len(labels)))
    for label in np.unique(labels):
        assert (labels[inside] == label).any()
        assert (labels == label).sum() == 1 or (labels[outside] == label).any()


def test_places_are_even():
    found = places(np.arange(4000, dtype=np.uint64), 7)
    assert np.histogram(found, 4, (0, 1))[0].min() > 900
    assert not np.array_equal(found, places(np.arange(4000, dtype=np.uint64), 8))


def test_keys_tell_equal_content(tmp_path, random_images):
    images = random_images(5)
    pixels = np.concatenate([images.pixels, images.pixels[:1]])
    keys = keys_of_pixels(pixels)
    assert len(set(keys.tolist())) == 5
    assert keys[0] == keys[5]
    for name, text in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / name).write_text(text)
    first, copy, other, gone = keys_of_files(str(tmp_path), ("a", "b", "c", "gone"))
    assert first == copy
    assert len({int(first), int(other), int(gone)}) == 3


def test_a_record_is_read_again_and_nothing_else_is():
    record = ContentRecord(
        development=np.array([3, 2**64 - 1], dtype=np.uint64), test=np.array([5], dtype=np.uint64)
    )
    again = ContentRecord.from_bytes(record.to_bytes())
    np.testing.assert_array_equal(again.development, record.development)
    np.testing.assert_array_equal(again.test, record.test)
    for content in (b"", b"{}", record.to_bytes()[:-4]):
        with pytest.raises(DataError, match="record of images"):
            ContentRecord.from_bytes(content)


def test_images_that_are_all_equal_are_the_cause_that_is_told(tmp_path, make_classes):
    make_classes(tmp_path, "cat dog", count=8, extension="png")
    for number in range(1, 8):
        shutil.copy(tmp_path / "dog/0.png", tmp_path / f"dog/{number}.png")

    with pytest.raises(
        DataError, match=r"all images of the class 'dog' are equal, and equal images"
    ):
        load_data(settings(tmp_path))
    for number in range(8):
        shutil.copy(tmp_path / "dog/0.png", tmp_path / f"cat/{number}.png")
    with pytest.raises(DataError, match=r"all images of the classes 'cat', 'dog' are equal"):
        load_data(settings(tmp_path))
