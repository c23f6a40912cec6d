"""COCO folders as people have them, and every mistake in one with its line."""

import json

import numpy as np
import pytest
from PIL import Image

from autodepth.data.reading.annotated.coco import read_coco
from autodepth.errors import DataError


def write(file, *, images=3, **exchanged):
    """Write a COCO file and its images beside it; parts of it may be exchanged."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "images": [
            {"id": 10 + n, "file_name": f"{file.stem}{n}.png", "width": 40, "height": 30}
            for n in range(images)
        ],
        "annotations": [
            {"id": 1, "image_id": 11, "category_id": 7, "bbox": [1, 2, 10, 20]},
            {"id": 2, "image_id": 11, "category_id": 3, "bbox": [0, 0, 40, 30]},
            {"id": 3, "image_id": 10, "category_id": 3, "bbox": [5, 5, 5, 5], "iscrowd": 1},
        ],
        "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "ant"}],
    } | exchanged  # fmt: skip
    for image in content["images"]:
        Image.fromarray(np.zeros((30, 40), np.uint8)).save(file.parent / image["file_name"])
    file.write_text(json.dumps(content, indent=1))
    return file


def test_boxes_are_corners_and_labels_are_numbered_from_one(tmp_path):
    write(tmp_path / "all.json")
    (scenes,) = read_coco(tmp_path).values()

    assert scenes.classes == ("ant", "cat")
    assert [len(labels) for labels in scenes.labels] == [0, 2, 0]  # crowds are left out
    np.testing.assert_array_equal(scenes.boxes[1], [[1, 2, 11, 22], [0, 0, 40, 30]])
    np.testing.assert_array_equal(scenes.labels[1], [2, 1])
    assert scenes.subset(np.array([1])).paths == scenes.paths[1:2]


def test_splits_are_known_by_the_names_of_files_or_folders(tmp_path):
    for split in ("train", "valid", "test"):
        write(tmp_path / "roboflow" / split / "_annotations.coco.json")
    assert set(read_coco(tmp_path / "roboflow")) == {"train", "validation", "test"}

    for split in ("train2017", "val2017"):
        place = tmp_path / "coco"
        file = write(place / split / f"instances_{split}.json")
        (place / "annotations").mkdir(exist_ok=True)
        file.rename(place / "annotations" / file.name)
        (place / "annotations" / f"captions_{split}.json").write_text("{}")
    found = read_coco(tmp_path / "coco")
    assert set(found) == {"train", "validation"}
    assert found["train"].paths[0].parent.name == "train2017"


def test_all_mistakes_of_a_file_are_told_with_their_lines(tmp_path):
    box = [1, 2, 3, 4]
    file = write(
        tmp_path / "all.json",
        annotations=[
            {"image_id": 99, "category_id": 7, "bbox": box},
            {"image_id": 10, "category_id": 8, "bbox": box},
            {"image_id": 10, "category_id": 7, "bbox": [1, 2, 0, 4]},
            {"image_id": 10, "category_id": 7, "bbox": [30, 2, 30, 4]},
            {"image_id": 10, "category_id": 7, "bbox": [1, 2, 3]},
            {"image_id": 10, "category_id": 7},
        ],
    )
    (tmp_path / "all2.png").unlink()
    with pytest.raises(DataError) as caught:
        read_coco(tmp_path)

    lines = file.read_text().splitlines()
    told = [line.partition(": ") for line in str(caught.value).splitlines()]
    expected = (
        "annotations[0]: image_id 99 is of no image",
        "annotations[1]: category_id 8 is of none",
        "annotations[2]: bbox must have a width and a height above 0, but is [1, 2, 0, 4]",
        "annotations[3]: bbox must lie in the image of 40x30, but is [30, 2, 30, 4]",
        "annotations[4]: bbox must be [left, top, width, height], but is [1, 2, 3]",
        "annotations[5]: must have image_id, category_id, bbox, but has no bbox",
        "images[2]: there is no image all2.png",
    )
    assert sorted(message for _, _, message in told) == sorted(expected)
    for place, _, message in told:
        number = int(place.rpartition(":")[2])
        assert lines[number - 1].strip() == "{"
        if message.startswith("images"):
            assert '"id": 12' in lines[number]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"images": [\n1,,2]}', r"all\.json:2:3: no JSON: Expecting value"),
        ("[]", r"all\.json:1: must be an object"),
        ('{"images": []}', r"images must be a list of at least one"),
    ],
)
def test_files_that_are_none_are_told(tmp_path, text, told):
    (tmp_path / "all.json").write_text(text)
    with pytest.raises(DataError, match=told):
        read_coco(tmp_path)


def test_folders_that_are_none_are_told(tmp_path):
    with pytest.raises(DataError, match="there is none at"):
        read_coco(tmp_path / "nowhere")
    with pytest.raises(DataError, match="has none"):
        read_coco(tmp_path)
    write(tmp_path / "first.json")
    write(tmp_path / "second.json")
    with pytest.raises(DataError, match=r"first\.json is of no split"):
        read_coco(tmp_path)


def test_classes_of_all_splits_are_the_same(tmp_path):
    write(tmp_path / "train.json")
    write(tmp_path / "test.json", annotations=[], categories=[{"id": 1, "name": "dog"}])

    with pytest.raises(DataError, match=r"test\.json has dog"):
        read_coco(tmp_path)
