"""Packed images: the same pixels without decoding, made once, whole, and checked."""

import multiprocessing
from dataclasses import replace

import numpy as np
import pytest

from autodepth.data import images as images_of_files
from autodepth.data.load import load_data
from autodepth.data.reading import folders, pack
from autodepth.data.reading.folders import read_folder
from autodepth.data.reading.pack import packed
from autodepth.data.settings import DataSettings
from autodepth.errors import DataError


@pytest.fixture
def files(tmp_path, make_classes):
    return read_folder(make_classes(tmp_path, size=(30, 24)), 16).train


@pytest.fixture
def kept_in(tmp_path_factory):
    return tmp_path_factory.mktemp("data") / "packed"


@pytest.fixture
def too_large_for_memory(monkeypatch):
    monkeypatch.setattr(folders, "IN_MEMORY_BYTES", 0)


def test_images_packed_in_their_size_are_the_same_to_the_bit(files, kept_in):
    kept = packed(files, 16, kept_in)
    np.testing.assert_array_equal(kept.decode_all().pixels, files.decode_all().pixels)
    some = np.array([5, 0, 3])
    np.testing.assert_array_equal(
        kept.subset(some).decode_all().pixels, files.subset(some).decode_all().pixels
    )


def test_random_boxes_are_cut_out_of_the_packed_squares(files, kept_in):
    kept = packed(files, 24, kept_in)
    whole = (1.0, 0.5, 0.0, 0.0)
    square = replace(files, shape=(24, 24, 3)).decode(2)
    expected = images_of_files.Image.fromarray(square).resize((16, 16), 2, (0, 0, 24, 24))
    np.testing.assert_array_equal(kept.decode(2, whole), np.asarray(expected))
    assert not np.array_equal(kept.decode(2, (0.1, 0.5, 0.9, 0.9)), kept.decode(2, whole))


def test_grey_images_are_packed_grey(tmp_path, make_classes, kept_in):
    files = read_folder(make_classes(tmp_path, mode="L"), 16).train
    np.testing.assert_array_equal(packed(files, 16, kept_in).decode(1), files.decode(1))


def test_a_pack_is_made_once_and_nothing_is_decoded_then(files, monkeypatch, kept_in):
    first = packed(files, 16, kept_in)

    def opened(*_):
        raise AssertionError("a file was opened")

    monkeypatch.setattr(images_of_files.Image, "open", opened)
    again = packed(files, 16, kept_in)
    assert again.pack == first.pack
    assert len(again.decode_all()) == len(files)


def test_other_images_sizes_and_decoders_have_files_of_their_own(files, monkeypatch, kept_in):
    names = {packed(images, 16, kept_in).pack for images in (files, files.subset(np.arange(3)))}
    names.add(packed(files, 20, kept_in).pack)
    monkeypatch.setattr(pack.PIL, "__version__", "0")
    names.add(packed(files, 16, kept_in).pack)
    assert len(names) == 4


def test_an_image_that_cannot_be_read_leaves_no_pack(files, tmp_path, kept_in):
    (tmp_path / files.paths[1]).write_bytes(b"no image")
    with pytest.raises(DataError, match=files.paths[1]):
        packed(files, 16, kept_in)
    assert not [path for path in kept_in.iterdir() if path.suffix != ".lock"]


def test_what_a_killed_process_left_is_written_over(files, kept_in):
    whole = packed(files, 16, kept_in)
    content = whole.pack.read_bytes()
    whole.pack.unlink()
    whole.pack.with_suffix(".part").write_bytes(content[: len(content) // 2])
    packed(files, 16, kept_in)
    assert whole.pack.read_bytes() == content


def test_processes_that_pack_at_once_make_one_file(files, kept_in):
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        made = pool.starmap(packed, [(files, 16, kept_in)] * 3)
    assert len({images.pack for images in made}) == 1
    np.testing.assert_array_equal(made[2].decode(0), files.decode(0))
    assert not list(kept_in.glob("*.part"))


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_damaged_pack_is_told_before_anything_is_trained(files, damage, kept_in):
    kept = packed(files, 16, kept_in)
    file = kept.pack
    content = bytearray(file.read_bytes())
    file.unlink()
    if damage == "changed":
        content[-1] ^= 1
    if damage != "gone":
        file.write_bytes(content[:-9] if damage == "cut" else content)
    with pytest.raises(DataError, match="delete it, and it is made again"):
        kept.look_at_all()


def test_a_full_disk_is_told(files, monkeypatch, kept_in):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pack.os, "posix_fallocate", full)
    with pytest.raises(DataError, match=r"needs .* but: No space left on device"):
        packed(files, 16, kept_in)


@pytest.mark.usefixtures("too_large_for_memory")
def test_a_data_set_packs_what_it_trains_on_and_validates_by_alike(tmp_path, make_classes):
    name = f"folder:{make_classes(tmp_path / 'photos', size=(30, 24))}"
    settings = DataSettings(name=name, image_size=16, root=str(tmp_path))
    plain, kept = load_data(settings), load_data(replace(settings, packed_size=20))
    assert kept.train.size == 20
    assert kept.train.paths == plain.train.paths
    np.testing.assert_array_equal(
        kept.validation.decode_all().pixels, plain.validation.decode_all().pixels
    )
    assert len(list((tmp_path / "packed").glob("*.npy"))) == 2
    assert kept.fingerprint != plain.fingerprint
    assert kept.a_file == kept.train.pack
    assert plain.a_file == tmp_path / "photos" / plain.train.paths[0]
    assert load_data(replace(settings, packed_size=20)).fingerprint == kept.fingerprint


@pytest.mark.usefixtures("too_large_for_memory")
def test_images_moved_and_renamed_find_their_pack(tmp_path, make_classes):
    root = make_classes(tmp_path / "photos", size=(30, 24))
    settings = DataSettings(
        name=f"folder:{root}", image_size=16, packed_size=16, root=str(tmp_path)
    )
    before = load_data(settings).train.pack
    (root / "cat/0.jpg").rename(root / "cat/tom.jpg")
    moved = root.rename(tmp_path / "moved")
    assert load_data(replace(settings, name=f"folder:{moved}")).train.pack == before


def test_images_that_fit_into_memory_are_not_packed_which_is_said(tmp_path, make_classes):
    name = f"folder:{make_classes(tmp_path / 'photos')}"
    loaded = load_data(DataSettings(name=name, image_size=16, packed_size=16, root=str(tmp_path)))
    assert not (tmp_path / "packed").exists()
    assert "data.packed_size packs none" in loaded.notes[0]
