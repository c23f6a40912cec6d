"""What folders mean: splits in every usual spelling, classes that look like splits, wrappers."""

import os

import pytest

from autodepth.data.reading.folders import read_folder, read_held_out
from autodepth.data.reading.layout import role_of
from autodepth.errors import DataError


def counts(root):
    """Return images to train on, to validate by and to test on, and the classes."""
    parts = read_folder(root, None)
    validation = 0 if parts.validation is None else len(parts.validation)
    return len(parts.train), validation, len(parts.test()), parts.classes


@pytest.mark.parametrize(
    ("train", "held_out"),
    [
        *[("train", "test"), ("Train", "Test"), ("TRAIN", "TEST"), ("training", "testing")],
        *[("seg_train", "seg_test"), ("train", "val"), ("train", "valid")],
        ("train", "validation"),
        *[
            ("Training", "Validation"),
            ("train", "eval"),
            ("train", "dev"),
            ("train2017", "val2017"),
        ],
        *[("training_set", "test_set"), ("trainset", "testset"), ("images-train", "images-test")],
        *[("train_data", "test data"), ("trn", "tst"), ("train", "holdout")],
        *[("trainA", "testA"), ("train-clean", "test-clean"), ("train_32x32", "test_32x32")],
        *[("ILSVRC2012_img_train", "ILSVRC2012_img_val"), ("train", "test_2019")],
    ],
)
def test_two_splits_are_taken_in_every_usual_spelling(tmp_path, make_classes, train, held_out):
    make_classes(tmp_path / train, count=4)
    make_classes(tmp_path / held_out, count=2)
    assert counts(tmp_path) == (8, 0, 4, ("cat", "dog"))


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        ("train val test", (8, 4, 2)),
        ("train valid test", (8, 4, 2)),
        ("Training Validation Testing", (8, 4, 2)),
    ],
)
def test_of_two_splits_held_out_one_validates(tmp_path, make_classes, names, sizes):
    for name, size in zip(names.split(), sizes, strict=True):
        make_classes(tmp_path / name, count=size // 2)
    assert counts(tmp_path) == (*sizes, ("cat", "dog"))
    assert any("validation split as a whole" in note for note in read_folder(tmp_path, None).notes)


def test_a_split_with_more_in_its_name_is_left_out_where_another_is_clear(tmp_path, make_classes):
    for name, count in (("train", 4), ("train_augmented", 9), ("test", 2)):
        make_classes(tmp_path / name, count=count)
    assert counts(tmp_path) == (8, 0, 4, ("cat", "dog"))
    assert any("train_augmented" in note for note in read_folder(tmp_path, None).notes)


@pytest.mark.parametrize("names", ["trainer tester", "bullet_train bus"])
def test_folders_of_folders_are_classes_unless_they_make_up_splits(tmp_path, make_classes, names):
    for name in names.split():
        make_classes(tmp_path / name, "old new", count=3)
    assert counts(tmp_path)[3] == tuple(sorted(names.split()))


@pytest.mark.parametrize("name", ["cat", "valid", "invalid", "train", "trainers", "testudo", "dev"])
def test_a_folder_of_images_is_a_class_whatever_it_is_called(tmp_path, make_classes, name):
    make_classes(tmp_path, f"bus ship {name}", count=6)
    train, _, test, classes = counts(tmp_path)
    assert (train + test, classes) == (18, tuple(sorted(("bus", "ship", name))))


@pytest.mark.parametrize(
    ("name", "role"),
    [
        *[("seg_pred", None), ("trainval", None), ("train_test", None), ("constraint", None)],
        *[("", None), ("images", None), ("VAL", "validation"), ("test-set", "test")],
    ],
)
def test_a_role_is_told_by_one_word(name, role):
    assert role_of(name) == role


@pytest.mark.parametrize("inside", ["photos", "a/b/photos"])
def test_a_folder_round_all_is_looked_through_and_told(tmp_path, make_classes, inside):
    make_classes(tmp_path / inside / "train", count=4)
    make_classes(tmp_path / inside / "test", count=2)
    (tmp_path / "__MACOSX" / "x" / "y").mkdir(parents=True)
    assert counts(tmp_path) == (8, 0, 4, ("cat", "dog"))
    assert any(f"{tmp_path / inside} is taken" in n for n in read_folder(tmp_path, None).notes)


def test_splits_that_hold_themselves_again_are_looked_through(tmp_path, make_classes):
    for split, count in (("seg_train", 4), ("seg_test", 2)):
        make_classes(tmp_path / split / split, count=count)
    (tmp_path / "seg_pred" / "seg_pred").mkdir(parents=True)
    assert counts(tmp_path) == (8, 0, 4, ("cat", "dog"))
    assert any("left out" in n and "seg_pred" in n for n in read_folder(tmp_path, None).notes)


def test_what_systems_leave_behind_is_no_class_and_no_image(tmp_path, make_classes):
    make_classes(tmp_path, count=6)
    for folder in ("__MACOSX/cat", ".ipynb_checkpoints", "cat/.ipynb_checkpoints", "@eaDir"):
        make_classes(tmp_path / folder, "x", count=1)
    for file in ("Thumbs.db", "dog/Thumbs.db", "cat/._0.jpg", ".DS_Store", "cat/desktop.ini"):
        (tmp_path / file).write_bytes(b"left behind")
    assert sum(counts(tmp_path)[:3]) == 12
    assert read_folder(tmp_path, None).notes == ()


def test_links_to_folders_are_followed_and_a_loop_ends(tmp_path, make_classes):
    make_classes(tmp_path / "elsewhere", count=6)
    make_classes(tmp_path / "photos", "fox", count=6)
    (tmp_path / "photos/cat").symlink_to(tmp_path / "elsewhere/cat")
    (tmp_path / "photos/fox/more").symlink_to(tmp_path / "elsewhere/dog")
    (tmp_path / "photos/fox/loop").symlink_to(tmp_path / "photos/fox")
    train, _, test, classes = counts(tmp_path / "photos")
    assert (train + test, classes) == (18, ("cat", "fox"))


def test_a_link_that_leads_back_up_ends(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").symlink_to(tmp_path)
    with pytest.raises(DataError, match="one folder per class"):
        read_folder(tmp_path, None)


@pytest.mark.parametrize("up", ["..", "../..", "../../.."])
def test_a_link_out_of_a_class_and_back_up_brings_no_other_images(tmp_path, make_classes, up):
    for split in ("train", "test"):
        make_classes(tmp_path / "photos" / split, count=3)
    (tmp_path / "photos/train/cat/up").symlink_to(up)
    assert counts(tmp_path / "photos") == (6, 0, 6, ("cat", "dog"))


def test_a_pipe_is_no_image(tmp_path, make_classes):
    make_classes(tmp_path, count=6)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    assert sum(counts(tmp_path)[:3]) == 12


def test_subfolders_of_a_class_belong_to_it_and_endings_may_be_large(tmp_path, make_classes):
    make_classes(tmp_path / "cat", "tabby black", count=3, extension="JPG")
    make_classes(tmp_path, "dog", count=6, extension="PNG")
    assert sum(counts(tmp_path)[:3]) == 12


def _flat_splits(root, make):
    make(root, "train test", count=3)


def _train_alone(root, make):
    make(root / "train", count=3)


def _test_without_classes(root, make):
    make(root / "train", count=3)
    make(root, "test", count=3)


def _held_out_alone(root, make):
    make(root / "test", count=3)
    make(root / "val", count=3)


def _split_among_classes(root, make):
    make(root, "cat dog", count=3)
    make(root / "test", "cat dog", count=3)


def _train_among_classes(root, make):
    make(root, "bus ship", count=3)
    make(root / "train", "steam electric", count=3)


def _two_of_a_kind(root, make):
    for name in ("train", "Training", "test"):
        make(root / name, count=3)


def _classes_above(root, make):
    for name in ("cat", "dog"):
        make(root / name, "train test", count=3)


def _other_case(root, make):
    make(root / "train", "cat dog", count=3)
    make(root / "test", "cat Dog", count=3)


def _case_alone(root, make):
    make(root, "cat Cat dog", count=3)


def _composed_alone(root, make):
    make(root, "caf\u00e9 cafe\u0301", count=3)


def _not_utf8(root, make):
    make(root, "cat dog", count=3)
    (root / "cat").rename(root / os.fsdecode(b"\xff"))


def _link_to_nowhere(root, make):
    make(root, "cat dog", count=3)
    (root / "fox").symlink_to("gone")


def _class_that_leads_up(root, make):
    make(root, "cat dog", count=3)
    (root / "all").symlink_to(".")


def _only_in_train(root, make):
    make(root / "train", "cat dog fox", count=3)
    make(root / "test", "cat dog", count=3)


def _empty_in_test(root, make):
    make(root / "train", "cat dog", count=3)
    make(root / "test", "cat", count=3)
    (root / "test/dog").mkdir()


def _no_class_folders(root, make):
    make(root.parent, root.name, count=3)


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (_flat_splits, r"one folder per class.*test, train.*such as test/CLASS/"),
        (_train_alone, r"must also have test/ or val/.*give folder:.*/train"),
        (_test_without_classes, r"must also have test/ or val/"),
        (_held_out_alone, r"must also have train/"),
        (_split_among_classes, r"with test/ must also have train/.*if test is a class as cat is"),
        (_train_among_classes, r"must also have test/.*if train is a class as bus is"),
        (_two_of_a_kind, r"one train split, but .* has Training/ and train/"),
        (_classes_above, r"above the classes, but .*/cat holds test/, train/.*train/cat/"),
        (_other_case, r"'dog' is in train/ only, did you mean 'Dog'\?"),
        (_case_alone, r"differ in more than case, but .* 'Cat' and 'cat'"),
        (_composed_alone, r"differ in more than case, but .* 'cafe\u0301' and 'caf\u00e9'"),
        (_not_utf8, r"names in UTF-8, but .*: rename it"),
        (_link_to_nowhere, r"lead somewhere, but .*/fox does not"),
        (_class_that_leads_up, r"must hold images .*/all has none"),
        (_only_in_train, r"same classes, but 'fox' is in train/ only"),
        (_empty_in_test, r"must hold images .*test/dog has none"),
        (_no_class_folders, r"one folder per class, at least 2, but has 0"),
    ],
)
def test_what_may_be_meant_in_two_ways_is_refused_with_the_way_out(
    tmp_path, make_classes, arrange, message
):
    root = tmp_path / "photos"
    arrange(root, make_classes)
    with pytest.raises(DataError, match=message):
        read_folder(root, None)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match="a file, no folder"):
        read_folder(tmp_path / "photos.zip", None)


@pytest.mark.parametrize("split", ["test", "seg_test", "valid", None])
def test_what_is_held_out_may_be_tested_on_else_the_whole(tmp_path, make_classes, split):
    make_classes(tmp_path / (split or "."), "cat", count=3)
    if split:
        make_classes(tmp_path / "train", count=5)
    parts = read_held_out(tmp_path, (16, 16, 3), resize=False)
    assert (len(parts.test()), parts.classes) == (3, ("cat",))
