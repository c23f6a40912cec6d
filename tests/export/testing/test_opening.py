"""A test figure is of test images: those set apart, or such as the study never had."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autodepth.atomic import sha256_of
from autodepth.data.content import ContentRecord
from autodepth.errors import DataError
from autodepth.export.bundles import bundle as files
from autodepth.export.bundles.seal import sealed
from autodepth.export.exporting import export_selected
from autodepth.export.testing.evaluation import evaluate_bundle
from autodepth.records.archive.load import load_study
from autodepth.records.archive.save import save_study
from autodepth.records.studies import HOME_VARIABLE, find_study
from autodepth.service.search.search import search

COLOURS = {"cat": (200, 40, 40), "ship": (40, 40, 200)}


def photograph(folder: Path, name: str, count: int, seed: int) -> None:
    """Write noisy images of one colour per class."""
    rng = np.random.default_rng([seed, len(name)])
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        noise = rng.integers(0, 40, (12, 12, 3)) + COLOURS[name]
        Image.fromarray(noise.astype(np.uint8)).save(folder / f"{seed}-{number}.png")


@dataclass(frozen=True)
class Place:
    """A study, its images, its export, and the folder of studies; all may be changed."""

    photos: Path
    export: Path
    home: Path


def searched(root: Path, splits: tuple[str, ...], *settings: str) -> Place:
    for seed, split in enumerate(splits):
        for name in COLOURS:
            photograph(root / "photos" / split / name, name, 30, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(root / "home"))
        search(
            budget="1trials",
            study="photos",
            data=f"folder:{root / 'photos'}",
            network="resnet8",
            settings=["train.epochs=2", "search.filter_sparsity=0", *settings],
            runner="in-process",
        )
        export_selected(find_study("photos"), "knee", root / "export", formats=())
    return Place(root / "photos", root / "export", root / "home")


@pytest.fixture(scope="module", params=[("",), ("train", "test")], ids=["drawn", "held out"])
def original(request, tmp_path_factory):
    return searched(tmp_path_factory.mktemp("searched"), request.param)


@pytest.fixture
def place(original, tmp_path, monkeypatch):
    """The same study each time, its folder of images as it was."""
    kept = tmp_path / "kept"
    shutil.copytree(original.photos, kept)
    shutil.copytree(original.export, tmp_path / "export")
    monkeypatch.setenv(HOME_VARIABLE, str(original.home))
    yield Place(original.photos, tmp_path / "export", original.home)
    shutil.rmtree(original.photos)
    shutil.copytree(kept, original.photos)


def test_folder(place):
    """Return the folder that test images are in, those to train on maybe among them."""
    return place.photos / "test" if (place.photos / "test").exists() else place.photos


test_folder.__test__ = False


def _one_more(folder):
    photograph(folder / "cat", "cat", 1, 9)


def _a_copy(folder):
    first = min((folder / "cat").iterdir())
    shutil.copy(first, folder / "cat/copy.png")


def _one_less(folder):
    min((folder / "cat").iterdir()).unlink()


def _one_other(folder):
    _one_less(folder)
    _one_more(folder)


def test_the_other_half_of_the_test_part_is_tested_on(tmp_path, monkeypatch):
    halved = searched(tmp_path, ("train", "test"), "data.validation_from=test")
    monkeypatch.setenv(HOME_VARIABLE, str(halved.home))
    first = evaluate_bundle(halved.export)
    record = ContentRecord.from_bytes((halved.export / files.IMAGES).read_bytes())
    assert first.images == len(record.test) < 60 - 15
    photograph(halved.photos / "test/cat", "cat", 12, 9)  # on both sides of the halving
    with pytest.raises(DataError, match="changed since"):
        evaluate_bundle(halved.export)
    assert evaluate_bundle(halved.export, only="set-apart").images == first.images


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_one_more, "1 image is added, such as .*cat/9-0.png, and 0 images are gone; --only-new"),
        (_a_copy, "1 image is added, such as .*cat/copy.png, and 0 images are gone; --set-apart"),
        (_one_less, "0 images are added, and 1 image is gone; .*--data folder:PATH"),
        (_one_other, "1 image is added, .* and 1 image is gone"),
    ],
)
def test_images_that_are_not_those_of_the_study_are_refused(place, change, message):
    first = evaluate_bundle(place.export)
    change(test_folder(place))
    with pytest.raises(DataError, match=message):
        evaluate_bundle(place.export)
    assert first.notes == ()
    assert len(files.read_sealed(place.export / files.OPENINGS)["openings"]) == 1


def test_what_was_set_apart_gives_the_same_figure_whatever_came_after(place):
    first = evaluate_bundle(place.export)
    _one_more(test_folder(place))
    _a_copy(test_folder(place))
    again = evaluate_bundle(place.export, only="set-apart")
    assert (again.images, again.test_loss) == (first.images, pytest.approx(first.test_loss))


def test_only_new_images_are_taken_where_asked_and_counted(place):
    _one_more(test_folder(place))
    _a_copy(test_folder(place))
    found = evaluate_bundle(place.export, only="new")
    assert found.images == 1
    assert found.notes[0].startswith("1 image is new to the study")


def test_no_new_images_is_an_error(place):
    with pytest.raises(DataError, match="never had, but it had all"):
        evaluate_bundle(place.export, only="new")


def test_renamed_files_are_the_same_images(place):
    first = evaluate_bundle(place.export)
    for number, path in enumerate(sorted(place.photos.rglob("*.png"), reverse=True)):
        path.rename(path.with_name(f"renamed {number}.PNG"))
    assert evaluate_bundle(place.export).test_loss == pytest.approx(first.test_loss)


def test_a_named_folder_is_taken_as_a_whole_unless_the_network_knows_it(place, tmp_path):
    for name in COLOURS:
        photograph(tmp_path / "newer" / name, name, 7, 5)
    assert evaluate_bundle(place.export, f"folder:{tmp_path / 'newer'}").images == 14

    trained = place.photos / "train" if (place.photos / "train").exists() else place.photos
    for path in sorted((trained / "ship").iterdir()):
        shutil.copy(path, tmp_path / "newer/ship" / f"known {path.name}")
    with pytest.raises(DataError, match=r"new to the network, but .* --only-new takes the 14"):
        evaluate_bundle(place.export, f"folder:{tmp_path / 'newer'}")
    assert evaluate_bundle(place.export, f"folder:{tmp_path / 'newer'}", only="new").images == 14


def test_the_searched_folder_elsewhere_gives_its_test_images(place, tmp_path):
    first = evaluate_bundle(place.export)
    shutil.copytree(place.photos, tmp_path / "moved")
    moved = evaluate_bundle(place.export, f"folder:{tmp_path / 'moved'}")
    assert (moved.images, moved.test_loss) == (first.images, pytest.approx(first.test_loss))


def test_classes_are_matched_by_name_however_they_are_sorted(place, tmp_path):
    for name in COLOURS:
        photograph(tmp_path / "newer" / name, name, 7, 5)
    data = f"folder:{tmp_path / 'newer'}"
    first = evaluate_bundle(place.export, data)
    (tmp_path / "newer/ship").rename(tmp_path / "newer/Ship")  # sorts before cat
    with pytest.raises(DataError, match="--map ship=Ship"):
        evaluate_bundle(place.export, data)
    mapped = evaluate_bundle(place.export, data, renamed={"ship": "Ship"})
    assert mapped.test_loss == pytest.approx(first.test_loss)


def test_a_study_that_moved_tells_its_images_still(place, tmp_path, monkeypatch):
    save_study(find_study("photos"), tmp_path / "photos.tar.gz")
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "elsewhere"))
    loaded = load_study(tmp_path / "photos.tar.gz")
    assert sha256_of(loaded.images_path) == sha256_of(place.home / "photos/images.safetensors")


def test_an_export_of_an_earlier_version_is_refused_where_its_folder_changed(place):
    """Such an export tells neither its images nor how they were drawn."""
    (place.export / files.IMAGES).unlink()
    record = json.loads((place.export / files.RECORD).read_text())
    del record["data"]["split_rule"]
    del record["study"]
    (place.export / files.RECORD).write_text(json.dumps(record))
    files.write_checksums(place.export)
    drawn = not (place.photos / "test").exists()
    data = f"folder:{place.photos}"
    if drawn:  # its fingerprint is that of another rule
        with pytest.raises(DataError, match="an earlier version drew them by their position"):
            evaluate_bundle(place.export, data)
    else:
        assert evaluate_bundle(place.export, data).images == 60
    with pytest.raises(DataError, match="does not tell"):
        evaluate_bundle(place.export, only="new", data=data)


def test_openings_of_before_are_counted_by_the_data(place):
    (place.export / files.OPENINGS).write_text(
        sealed({"openings": [{"data": "folder:photos", "images": 3}]})
    )
    assert evaluate_bundle(place.export).openings_before == 1


def test_images_that_moved_are_asked_for_and_tested_on_where_they_are(place):
    before = evaluate_bundle(place.export)
    moved = place.photos.rename(place.photos.with_name("moved"))

    with pytest.raises(
        DataError, match=r"photos is not there: say where .* with --data folder:PATH"
    ):
        evaluate_bundle(place.export)
    after = evaluate_bundle(place.export, f"folder:{moved}")
    moved.rename(place.photos)
    assert (after.images, after.test_accuracy) == (before.images, before.test_accuracy)
