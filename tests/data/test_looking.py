"""Every image is looked at before anything is trained, those of the test split among them."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from autodepth.data.load import load_data
from autodepth.data.reading import folders
from autodepth.data.settings import DataSettings
from autodepth.errors import DataError


def load(root, *, trust=False, **changes):
    return load_data(DataSettings(name=f"folder:{root}", **changes), trust=trust)


def _cut_short(path):
    path.write_bytes(path.read_bytes()[:-40])


def _spoil_the_middle(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def _claim_gigapixels(path):
    def piece(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = piece(b"IHDR", header) + piece(b"IDAT", zlib.compress(b"")) + piece(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


BROKEN = {
    "empty": lambda path: path.write_bytes(b""),
    "a page": lambda path: path.write_text("<!DOCTYPE html><html>404</html>"),
    "cut short": _cut_short,
    "another size": lambda path: Image.new("RGB", (20, 16)).save(path),
    "a link to nowhere": lambda path: (path.unlink(), path.symlink_to(path.parent / "gone")),
    "a folder of that name": lambda path: (path.unlink(), path.mkdir()),
}
BROKEN_PNG = {
    "spoilt": _spoil_the_middle,
    "a gigapixel": _claim_gigapixels,
    "sixteen bits": lambda path: Image.fromarray(np.zeros((16, 16), np.uint16)).save(path),
}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    ("extension", "kind"),
    [
        *[("png", kind) for kind in {**BROKEN, **BROKEN_PNG}],
        *[(extension, kind) for extension in ("jpg", "webp", "gif", "bmp", "tif")
          for kind in ("empty", "a page", "cut short", "another size")],
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_by_its_path(
    tmp_path, make_classes, monkeypatch, split, extension, kind
):
    for name in ("train", "test"):
        make_classes(tmp_path / name, count=3, extension=extension)
    spoilt = tmp_path / split / f"dog/1.{extension}"
    {**BROKEN, **BROKEN_PNG}[kind](spoilt)
    if kind == "a folder of that name":
        assert sum(map(sum, load(tmp_path).counts.values())) == 11
        return
    for limit in (folders.IN_MEMORY_BYTES, 0):  # as files, too
        monkeypatch.setattr(folders, "IN_MEMORY_BYTES", limit)
        with pytest.raises(DataError, match=str(spoilt)):
            load(tmp_path)


def test_a_broken_image_is_found_wherever_it_is_drawn(tmp_path, make_classes):
    make_classes(tmp_path, count=12, extension="png")
    for path in sorted(tmp_path.glob("*/*.png"))[::6]:
        content = path.read_bytes()
        path.write_bytes(content[:-200])
        with pytest.raises(DataError, match=str(path)):
            load(tmp_path)
        path.write_bytes(content)


def test_many_are_counted_and_the_first_named(tmp_path, make_classes):
    for name in ("train", "test"):
        make_classes(tmp_path / name, count=10)
    for number in range(8):
        (tmp_path / f"test/cat/{number}.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"8 of 20 of .*test are not:(?s:.*)cat/4.jpg(?s:.*)3 more"):
        load(tmp_path)


def test_a_test_image_in_colour_among_grey_ones_is_told(tmp_path, make_classes):
    make_classes(tmp_path / "train", mode="L", count=5)
    make_classes(tmp_path / "test", count=2)
    with pytest.raises(DataError, match="in colour"):
        load(tmp_path)


def test_trusted_data_are_not_looked_at(tmp_path, make_classes, monkeypatch):
    for name in ("train", "test"):
        make_classes(tmp_path / name, count=10)
    (tmp_path / "test/cat/1.jpg").write_bytes(b"")
    load(tmp_path, trust=True)
    monkeypatch.setattr(folders, "IN_MEMORY_BYTES", 0)
    (tmp_path / "train/cat/1.jpg").write_bytes(b"")
    load(tmp_path, trust=True)


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK", "L", "LA", "1", "YCbCr"])
def test_images_of_any_mode_join_those_in_colour(tmp_path, make_classes, mode):
    for name in ("train", "test"):
        make_classes(tmp_path / name, count=5, extension="tif" if mode == "YCbCr" else "png")
    extension = "jpg" if mode == "CMYK" else "tif" if mode == "YCbCr" else "png"
    Image.new("RGB", (16, 16), (200, 30, 90)).convert(mode).save(
        tmp_path / f"test/dog/odd.{extension}"
    )
    data = load(tmp_path)
    assert data.channels == 3
    assert len(data.open_test()) == 11


@pytest.mark.parametrize("extension", ["gif", "webp", "png", "tif"])
def test_the_first_picture_of_several_is_taken(tmp_path, make_classes, extension):
    for name in ("train", "test"):
        make_classes(tmp_path / name, count=5, extension="png")
    red, blue = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    for name in ("train", "test"):
        for animal in ("cat", "dog"):
            red.save(tmp_path / name / animal / f"0a.{extension}", save_all=True,
                     append_images=[blue])  # fmt: skip
    pixels = load(tmp_path).open_test().pixels
    strongest = pixels.reshape(len(pixels), -1, 3).astype(int).mean(1)
    assert (strongest[:, 0] > 200).sum() == 2


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_photographs_are_read_upright(tmp_path, make_classes, turn):
    """The turn a camera notes is applied, as viewers do: size and content are what people see."""
    upright = Image.fromarray(np.repeat(np.arange(16, dtype=np.uint8)[:, None] * 15, 24, axis=1))
    back = {1: 0, 3: 180, 6: 90, 8: 270}[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    for name in ("train", "test"):
        for animal in ("cat", "dog"):
            folder = tmp_path / name / animal
            folder.mkdir(parents=True)
            for number in range(3):
                upright.point(lambda v, n=number: v + n).rotate(back, expand=True).save(
                    folder / f"{number}.jpg", exif=exif, quality=95
                )
    data = load(tmp_path, validation=0.4)
    assert (data.height, data.width) == (16, 24)
    assert np.abs(data.open_test().pixels[0, :, :, 0].astype(int) - np.asarray(upright)).max() < 16


def test_counts_are_told_by_class_and_split(tmp_path, make_classes):
    make_classes(tmp_path / "train", "cat dog", count=10)
    make_classes(tmp_path / "test", "cat dog", count=3)
    data = load(tmp_path, validation=4)
    assert data.counts == {"train": (8, 8), "validation": (2, 2), "test": (3, 3)}


def test_large_sets_are_looked_at_without_being_decoded(tmp_path, make_classes, monkeypatch, heard):
    for name in ("train", "test"):
        make_classes(tmp_path / name, count=10)
    monkeypatch.setattr(folders, "IN_MEMORY_BYTES", 0)
    load(tmp_path)
    assert "decoding images" not in heard
    assert "looking at images" in heard
