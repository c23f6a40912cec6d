"""Pascal VOC folders as people have them, and every mistake in one with its file."""

import numpy as np
import pytest
from PIL import Image

from autodepth.data.reading.annotated.voc import read_voc
from autodepth.errors import DataError

CAT = ("cat", 2, 3, 11, 22)
ANT = ("ant", 1, 1, 40, 30)


def write(folder, stem, objects, *, images=None, difficult=()):
    """Write an image and its XML file, as annotation tools do."""
    images = images or folder
    for place in (folder, images):
        place.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(images / f"{stem}.png")
    told = "".join(
        f"<object><name>{name}</name><difficult>{int(n in difficult)}</difficult><bndbox>"
        f"<xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
        "</bndbox></object>"
        for n, (name, left, top, right, bottom) in enumerate(objects)
    )
    text = f"<annotation><filename>{stem}.png</filename>{told}</annotation>"
    (folder / f"{stem}.xml").write_text(text)


def test_boxes_are_corners_of_pixels_from_zero_and_labels_are_numbered_from_one(tmp_path):
    write(tmp_path, "a", [CAT, ANT, CAT], difficult={2})
    write(tmp_path, "b", [])
    (scenes,) = read_voc(tmp_path).values()

    assert scenes.classes == ("ant", "cat")
    np.testing.assert_array_equal(scenes.boxes[0], [[1, 2, 11, 22], [0, 0, 40, 30]])
    np.testing.assert_array_equal(scenes.labels[0], [2, 1])
    assert scenes.boxes[1].shape == (0, 4)
    assert [path.name for path in scenes.paths] == ["a.png", "b.png"]


def test_splits_are_those_of_the_lists_or_of_the_folders(tmp_path):
    year = tmp_path / "VOCdevkit" / "VOC2012"
    for stem in ("a", "b", "c"):
        write(year / "Annotations", stem, [CAT], images=year / "JPEGImages")
    lists = year / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nc\n")
    (lists / "val.txt").write_text("b\n")
    (lists / "trainval.txt").write_text("a\nb\nc\n")
    (lists / "cat_train.txt").write_text("a  1\n")
    found = read_voc(tmp_path / "VOCdevkit")
    assert {role: len(scenes) for role, scenes in found.items()} == {"train": 2, "validation": 1}
    assert found["train"].paths[0] == year / "JPEGImages" / "a.png"

    (lists / "train.txt").unlink()
    assert {role: len(each) for role, each in read_voc(tmp_path).items()} == {"train": 3}

    for split in ("train", "valid", "test"):
        write(tmp_path / "roboflow" / split, "x", [ANT])
    assert set(read_voc(tmp_path / "roboflow")) == {"train", "validation", "test"}


def test_all_mistakes_are_told_with_their_files(tmp_path):
    write(tmp_path, "a", [("cat", 9, 3, 2, 22), ("", 1, 1, 2, 2), ("cat", "x", 1, 2, 2)])
    write(tmp_path, "b", [CAT])
    (tmp_path / "b.png").unlink()
    (tmp_path / "c.xml").write_text("<annotation>")
    (tmp_path / "d.xml").write_text('<!DOCTYPE a [<!ENTITY b "b">]><annotation/>')

    with pytest.raises(DataError) as error:
        read_voc(tmp_path)
    first, second, third, *others = str(error.value).split("\n")
    assert first.startswith(f"{tmp_path / 'a.xml'}: object 1 must have a name and a bndbox of xmin")
    assert "object 2" in second
    assert "object 3" in third
    assert f"there is no image {tmp_path / 'b.png'}" in others[0]
    assert "c.xml: cannot be read: no element found" in others[1]
    assert "d.xml: cannot be read: it declares a document type" in others[2]


def test_a_folder_without_any_is_refused(tmp_path):
    with pytest.raises(DataError, match="must name a folder, but there is none"):
        read_voc(tmp_path / "gone")
    with pytest.raises(DataError, match="must hold Annotations with XML files"):
        read_voc(tmp_path)
    write(tmp_path / "train", "a", [ANT])
    write(tmp_path / "test", "b", [CAT])
    with pytest.raises(DataError, match="objects of test are cat, which train has not"):
        read_voc(tmp_path)
