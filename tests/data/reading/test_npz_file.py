"""Npz files from anywhere: the arrays that were saved, or one line that says what to do."""

import io
import os
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodepth.data.reading.npz_file import read_npz
from autodepth.data.reading.sources import read_parts
from autodepth.data.settings import DataSettings
from autodepth.errors import DataError

NAMES = ("x_train", "y_train", "x_test", "y_test")


def good():
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (12, 4, 5, 3), dtype=np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": rng.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8),
        "y_test": np.arange(6) % 3,
    }


def npy(array):
    content = io.BytesIO()
    np.lib.format.write_array(content, np.asanyarray(array), allow_pickle=True)
    return content.getvalue()


def header(text, version=1):
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode()


def write(path, *, method=zipfile.ZIP_STORED, also=(), **members):
    """Write a good file with members put in place, as bytes or arrays; None takes one out."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in (good() | members).items():
            if content is not None:
                raw = content if isinstance(content, bytes) else npy(content)
                archive.writestr(f"{name}.npy", raw)
        for name, content in also:
            archive.writestr(name, content)
    return path


def refusal(path):
    with pytest.raises(DataError) as error:
        read_parts(DataSettings(name=f"npz:{path}"))
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


ARRAYS = {
    "in [0, 1]": ({"x_train": np.random.default_rng(0).random((12, 4, 5, 3))}, "x * 255"),
    "not a number": ({"x_train": np.full((12, 4, 5, 3), np.nan)}, "must be uint8"),
    "of 16 bits": ({"x_train": np.zeros((12, 4, 5, 3), np.uint16)}, "x >> 8"),
    "black and white": ({"x_train": np.zeros((12, 4, 5), bool)}, r"x.astype(np.uint8) * 255"),
    "of 64 bits": ({"x_train": np.zeros((12, 4, 5), np.int64)}, "x.astype(np.uint8)"),
    "complex": ({"x_train": np.zeros((12, 4, 5), complex)}, "must be uint8"),
    "text": ({"x_train": np.array(["a"] * 12)}, "must be uint8"),
    "channels first": ({"x_train": np.zeros((12, 3, 4, 5), np.uint8)}, "transpose(0, 2, 3, 1)"),
    "transparent": ({"x_train": np.zeros((12, 4, 5, 4), np.uint8)}, "x[..., :3]"),
    "a number": ({"x_train": np.uint8(3)}, "must be uint8"),
    "one image": ({"x_train": np.zeros((4, 5), np.uint8)}, "must be uint8"),
    "empty": ({"x_train": np.zeros((0, 4, 5, 3), np.uint8)}, "is empty"),
    "fewer labels": ({"y_train": np.arange(11) % 3}, "12 whole numbers, one class per image"),
    "one label": ({"y_train": np.int64(3)}, "12 whole numbers"),
    "no test": ({"x_test": None}, "has no x_test"),
    "one column per class": ({"y_train": np.eye(3)[np.arange(12) % 3]}, "y.argmax(axis=1)"),
    "one int column": ({"y_train": np.eye(3, dtype=int)[np.arange(12) % 3]}, "y.argmax(axis=1)"),
    "labels as float": ({"y_train": np.arange(12) % 3 * 1.0}, "y.astype(np.int64)"),
    "labels as bool": ({"y_train": np.arange(12) > 5}, "y.astype(np.int64)"),
    "labels as names": ({"y_train": np.array(["cat", "dog"] * 6)}, "np.unique"),
    "labels not a number": ({"y_train": np.full(12, np.nan)}, "12 whole numbers"),
    "negative": ({"y_train": np.arange(12) % 3 - 1}, "classes from 0, but got -1"),
    "numbers of a register": (
        {"y_train": np.arange(12) % 3 * 150_000_000},
        "without a gap, but has 3 different ones up to 300,000,000",
    ),
    "one class": ({"y_train": np.zeros(12, int)}, "at least 2 classes"),
    "beyond 64 bits": ({"y_train": np.full(12, 2**64 - 1, np.uint64)}, "classes below 2^63"),
    "a class of the test alone": ({"y_test": np.arange(6)}, "0 to 2, but got 5"),
    "objects": ({"y_train": np.array([None] * 12)}, "never unpickled"),
    "records": ({"y_train": np.zeros(12, [("a", "i4"), ("b", "O")])}, "never unpickled"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_another_kind_are_refused_with_the_way_out(tmp_path, name):
    members, message = ARRAYS[name]

    assert message in refusal(write(tmp_path / "images.npz", **members))


HUGE = "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000, 1000), }"
MEMBERS = {
    "a terabyte claimed": (header(HUGE), "takes 1,000,000,000,"),
    "less claimed": (npy(np.zeros((12, 4, 5, 3), np.uint8)) + b"more", "claims an array"),
    "more claimed": (npy(np.zeros((12, 4, 5, 3), np.uint8))[:-1], "claims an array"),
    "a negative size": (header(HUGE.replace("1000000", "-1")), "claims an array"),
    "a size beyond machines": (header(HUGE.replace("1000000", "9" * 40)), "claims an array"),
    "a size in text": (header(HUGE.replace("1000000", "'a'")), "is no array"),
    "a call": (header("__import__('os').getcwd()"), "is no array"),
    "a deep header": (header("(" * 9000), "is no array"),
    "a long header": (header("{" + " " * 20000, 2), "is no array"),
    "a header cut short": (header(HUGE)[:30], "is no array"),
    "another version": (header(HUGE).replace(b"Y\x01", b"Y\x09"), "is no array"),
    "rubbish": (os.urandom(200), "is no array"),
    "nothing": (b"", "is no array"),
    "text": (b"x_train = [1, 2, 3]", "is no array"),
    "pickled": (b"\x80\x04K\x01.", "is no array"),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_that_is_no_array_is_named(tmp_path, name):
    content, message = MEMBERS[name]
    told = refusal(write(tmp_path / "images.npz", x_train=content))

    assert "x_train.npy" in told
    assert message in told


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_every_way_to_pack_is_read(tmp_path, method):
    arrays = read_npz(write(tmp_path / "images.npz", method=method), NAMES)

    for name, expected in good().items():
        assert arrays[name].dtype == expected.dtype
        np.testing.assert_array_equal(arrays[name], expected)


def test_order_and_bytes_of_another_machine_are_read(tmp_path):
    images = np.asfortranarray(good()["x_train"])
    path = write(tmp_path / "images.npz", x_train=images, y_train=good()["y_train"].astype(">i8"))
    train = read_parts(DataSettings(name=f"npz:{path}")).train

    np.testing.assert_array_equal(train.pixels, good()["x_train"])
    np.testing.assert_array_equal(train.labels, good()["y_train"])


def test_members_in_a_folder_are_told(tmp_path):
    path = tmp_path / "images.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in good().items():
            archive.writestr(f"set/{name}.npy", npy(array))

    assert "has no x_train" in refusal(path)
    assert "set/x_train" in refusal(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(tmp_path):
    again = [("x_train.npy", npy(good()["x_train"]))]

    assert "x_train is in it twice" in refusal(write(tmp_path / "images.npz", also=again))


def altered(path, *, flags=None, method=None):
    """Write flags or method of packing anew into all entries of an archive."""
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(mark)
        while start >= 0:
            if flags is not None:
                struct.pack_into("<H", content, start + place, flags)
            if method is not None:
                struct.pack_into("<H", content, start + place + 2, method)
            start = content.find(mark, start + 4)
    path.write_bytes(content)
    return path


def test_an_encrypted_file_is_refused(tmp_path):
    path = altered(write(tmp_path / "images.npz"), flags=1)

    assert "x_train.npy" in refusal(path)
    assert "without a password" in refusal(path)


@pytest.mark.parametrize("method", [1, 9, 93, 99, 65535])
def test_an_unknown_way_to_pack_is_refused(tmp_path, method):
    path = altered(write(tmp_path / "images.npz"), method=method)

    assert f"is by method {method} of zip" in refusal(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_inside_a_member_is_told(tmp_path, method):
    path = write(tmp_path / "images.npz", method=method)
    content = bytearray(path.read_bytes())
    content[150:170] = bytes(20)
    path.write_bytes(content)

    assert "x_train.npy" in refusal(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_file_that_was_cut_short_is_told(tmp_path, share):
    path = write(tmp_path / "images.npz")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    assert "cannot be read as an npz file" in refusal(path)


def test_places_that_are_no_file_are_told(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")

    assert "is a folder: use folder:" in refusal(tmp_path)
    assert "there is none at" in refusal(tmp_path / "absent.npz")
    assert "there is none at" in refusal(tmp_path / "pipe.npz")


def test_what_unpacks_to_more_than_images_do_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in good().items():
            if name != "x_train":
                archive.writestr(f"{name}.npy", npy(array))
        with archive.open("x_train.npy", "w", force_zip64=True) as member:
            text = "{'descr': '|u1', 'fortran_order': False, 'shape': (100, 1000, 1000), }"
            member.write(header(text))
            for _ in range(100):
                member.write(bytes(1_000_000))

    assert "claims 100,000,080 bytes" in refusal(path)


@pytest.mark.parametrize("name", ["\n_test", "\x1b[31m_test", "x" * 60000, "\u202e_test"])
def test_names_in_a_file_cannot_write_to_the_terminal(tmp_path, name):
    path = tmp_path / "images.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for own, array in good().items():
            archive.writestr(f"{name if own == 'x_test' else own}.npy", npy(array))

    told = refusal(path)

    assert "has no x_test; it has" in told
    assert told.isprintable()
    assert len(told) < 400


_LIMITED = """
import resource, sys
from pathlib import Path
from autodepth.data.reading.npz_file import read_npz
from autodepth.errors import DataError
resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))
try:
    read_npz(Path(sys.argv[1]), ("x_train", "y_train", "x_test", "y_test"))
except DataError as error:
    print(error)
"""


@pytest.mark.parametrize("sizes", ["header alone", "header and archive"])
def test_a_terabyte_that_is_claimed_takes_no_memory(tmp_path, sizes):
    text = HUGE.replace("1000000", "1000")  # a gigabyte, so that four bytes can say it
    path = write(tmp_path / "images.npz", x_train=header(text) + bytes(1000))
    if sizes == "header and archive":
        content = bytearray(path.read_bytes())
        size = struct.pack("<I", len(header(text)) + 1_000_000_000)
        for mark, place in ((b"PK\x03\x04", 18), (b"PK\x01\x02", 20)):
            start = content.find(mark)
            content[start + place + 4 : start + place + 8] = size
        path.write_bytes(content)

    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "x_train.npy" in done.stdout
    assert "claims" in done.stdout


def _changed(draw_bytes, tmp_path_factory, method):
    path = tmp_path_factory.mktemp("npz") / "images.npz"
    content = bytearray(write(path, method=method).read_bytes())
    for place, value in draw_bytes:
        content[place % len(content)] = value
    path.write_bytes(content)
    try:
        arrays = read_npz(path, NAMES)
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017 - both outcomes are right
        return
    for name, expected in good().items():
        np.testing.assert_array_equal(arrays[name].tobytes(), expected.tobytes())


BYTES = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=6)
METHODS = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])


@settings(max_examples=150, deadline=None)
@given(changes=BYTES, method=METHODS)
def test_changed_bytes_give_the_same_arrays_or_a_refusal(tmp_path_factory, changes, method):
    _changed(changes, tmp_path_factory, method)


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(max_examples=5000, deadline=None)
@given(changes=BYTES, method=METHODS)
def test_many_changed_bytes_give_the_same_arrays_or_a_refusal(tmp_path_factory, changes, method):
    _changed(changes, tmp_path_factory, method)
