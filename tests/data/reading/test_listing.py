"""Which files of a class folder are images."""

import os

import pytest

from autodepth.data.reading.listing import check_same_classes, class_names, list_images
from autodepth.errors import DataError


@pytest.fixture
def root(tmp_path):
    def root(*files):
        for file in files:
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return root


def test_images_are_found_at_any_depth_in_order_and_others_are_told(root):
    place = root("cat/b.PNG", "cat/deep/a.jpg", "cat/notes.txt", "cat/.hidden.jpg", "dog/1.webp")
    listing = list_images(place, class_names(place))

    assert listing.images == (("cat/b.PNG", "cat/deep/a.jpg"), ("dog/1.webp",))
    (note,) = listing.notes
    assert "1 that are no images" in note
    assert note.endswith("the first is cat/notes.txt")


def test_former_versions_took_fewer_kinds_and_followed_no_links(root):
    place = root("cat/a.jpg", "dog/b.jpg", "more/c.jpg")
    (place / "cat" / "more").symlink_to(place / "more")

    assert list_images(place, ("cat",)).images == (("cat/a.jpg", "cat/more/c.jpg"),)
    assert list_images(place, ("cat",), former=True).images == (("cat/a.jpg",),)


def test_links_that_lead_back_up_or_in_a_circle_end(root):
    place = root("cat/a.jpg")
    (place / "cat" / "up").symlink_to(place)
    (place / "cat" / "self").symlink_to(place / "cat")

    assert list_images(place, ("cat",)).images == (("cat/a.jpg",),)


def test_a_pipe_is_no_image_that_somebody_waits_for(root):
    place = root("cat/a.jpg")
    os.mkfifo(place / "cat" / "b.jpg")

    assert list_images(place, ("cat",)).images == (("cat/a.jpg",),)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (("cat/a.jpg",), "at least 2, but has 1"),
        (("cat/a.jpg", "Cat/b.jpg"), "must differ in more than case"),
        (("cafe\u0301/a.jpg", "caf\u00e9/b.jpg"), "must differ in more than case"),
    ],
)
def test_class_folders_that_are_none_are_refused(root, files, told):
    with pytest.raises(DataError, match=told):
        class_names(root(*files))


def test_a_link_to_nowhere_is_named(root):
    place = root("cat/a.jpg", "dog/b.jpg")
    (place / "bird").symlink_to(place / "gone")
    with pytest.raises(DataError, match=r"links must lead somewhere, but .*bird does not"):
        class_names(place)


def test_a_class_without_images_is_named_with_what_counts(root):
    place = root("cat/a.jpg", "dog/a.txt")
    with pytest.raises(DataError, match=r"dog has none; fill it, or take the class away"):
        list_images(place, class_names(place))


def test_splits_with_other_classes_say_which_are_where_alone(tmp_path):
    roots = [tmp_path / "train", tmp_path / "test"]
    check_same_classes(roots, [("cat", "dog"), ("cat", "dog")])
    with pytest.raises(DataError) as error:
        check_same_classes(roots, [("cat", "dog"), ("cats", "dog", "x", "y", "z")])

    assert "'cat' is in train/ only, did you mean 'cats'?" in str(error.value)
    assert str(error.value).endswith("'x' is in test/ only and 2 more")
