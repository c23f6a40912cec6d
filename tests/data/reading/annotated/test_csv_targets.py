"""CSV files beside images, and every mistake in one with its line."""

import pytest

from autodepth.data.reading.annotated.csv_targets import read_csv
from autodepth.errors import DataError


@pytest.fixture
def file(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.png").touch()

    def write(text):
        path = tmp_path / "targets.csv"
        path.write_text(text)
        return path

    return write


def test_the_first_column_names_images_and_all_others_are_targets(file):
    found = read_csv(file("image,age,height\na.png,31,1.7\n\nb.png,-2.5,1e-3\n"))["train"]

    assert found.names == ("age", "height")
    assert [path.name for path in found.paths] == ["a.png", "b.png"]
    assert found.targets.tolist() == [[31, pytest.approx(1.7)], [-2.5, pytest.approx(1e-3)]]


def test_columns_are_chosen_by_name_and_a_split_may_be_said(file):
    path = file("image,age,Split,height\na.png,31,train,1\nb.png,2,val,2\nc.png,3,test,3\n")
    found = read_csv(path, ("height",))

    assert {role: each.targets.tolist() for role, each in found.items()} == {
        "train": [[1.0]],
        "validation": [[2.0]],
        "test": [[3.0]],
    }


def test_all_mistakes_are_told_with_their_lines(file):
    path = file("image,age,split\nd.png,3,train\na.png,old,train\nb.png,1\nc.png,inf,later\n")
    with pytest.raises(DataError) as caught:
        read_csv(path)

    assert str(caught.value).splitlines() == [
        f"{path}:2: there is no image d.png",
        f"{path}:3: age must be a number, but is 'old'",
        f"{path}:4: must have 3 values, but has 2",
        f"{path}:5: split must be train, val or test, but is 'later'",
        f"{path}:5: age must be a number, but is 'inf'",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must have a column of images and one of numbers"),
        ("image,age\na.png,3\n", "must have the column 'height', but has image, age"),
        ("image,height,split\na.png,3,test\n", "must have images to train on"),
    ],
)
def test_files_that_are_none_are_told(file, text, told):
    with pytest.raises(DataError, match=told):
        read_csv(file(text), ("height",) if text else ())


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match="there is none at"):
        read_csv(tmp_path / "targets.csv")
