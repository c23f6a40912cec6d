"""Named sets and npz files: what they hold, and what is said when they cannot be read."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import scipy.io
from sklearn.datasets import load_digits

from autodepth.data.reading.sources import read_parts
from autodepth.data.settings import DataSettings
from autodepth.errors import DataError
from autodepth.torchvision_door import import_torchvision


def npz_settings(folder, **arrays):
    """Write a good npz file with `arrays` put in place; None takes one out."""
    rng = np.random.default_rng(0)
    held = {
        "x_train": rng.integers(0, 256, (20, 12, 10, 3), dtype=np.uint8),
        "y_train": np.arange(20) % 4,
        "x_test": rng.integers(0, 256, (8, 12, 10, 3), dtype=np.uint8),
        "y_test": np.arange(8) % 4,
    } | arrays
    path = folder / "images.npz"
    np.savez(path, **{name: array for name, array in held.items() if array is not None})
    return DataSettings(name=f"npz:{path}")


def test_digits_are_all_there_in_the_full_range():
    digits = read_parts(DataSettings(name="digits"))
    parts = [digits.train, digits.test()]
    assert [len(part) for part in parts] == [1438, 359]
    assert {part.pixels.max() for part in parts} == {255}
    whole = sorted((load_digits().images * 15.9375).astype(np.uint8).reshape(1797, -1).tolist())
    assert sorted(image.ravel().tolist() for part in parts for image in part.pixels) == whole


def test_the_test_part_of_digits_does_not_move_with_the_split_seed():
    first, other = (
        read_parts(DataSettings(name="digits", split_seed=seed)).test() for seed in (0, 1)
    )
    np.testing.assert_array_equal(first.pixels, other.pixels)


def test_npz_parts_are_returned_as_they_are(tmp_path):
    settings = npz_settings(tmp_path)
    parts = read_parts(settings)
    train, test = parts.train, parts.test()
    assert (train.shape, len(train), len(test)) == ((12, 10, 3), 20, 8)
    assert parts.classes == ("0", "1", "2", "3")


@pytest.mark.parametrize("shape", [(8, 28, 28), (8, 28, 28, 1)])
@pytest.mark.parametrize("labels", [np.arange(8, dtype=np.uint8), np.arange(8)[:, None]])
def test_npz_grey_images_and_columns_of_labels_are_taken(tmp_path, shape, labels):
    images = np.zeros(shape, dtype=np.uint8)
    settings = npz_settings(tmp_path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    train = read_parts(settings).train
    assert train.pixels.shape == (8, 28, 28, 1)
    assert train.labels.tolist() == list(range(8))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y_test": None}, "must hold x_train, y_train, x_test, y_test, but .* has no y_test"),
        ({"x_train": np.zeros((20, 12, 10, 3))}, "x_train .* must be uint8 .* but got float64"),
        (
            {"x_train": np.zeros((20, 3, 12, 10), np.uint8)},
            r"\[N, H, W, 3\], but got uint8 \[20, 3",
        ),
        ({"y_train": np.arange(19)}, r"y_train .* must be 20 whole numbers, .* int64 \[19\]"),
        ({"y_train": np.linspace(0, 3, 20)}, "y_train .* whole numbers"),
        ({"y_train": np.arange(20) - 1}, "classes from 0, but got -1"),
        ({"y_test": np.arange(8)}, "labels of y_train, 0 to 3, but got 7"),
        (
            {"x_test": np.zeros((8, 9, 9, 3), np.uint8)},
            r"one size, but got \[12, 10, 3\] and \[9, 9",
        ),
        ({"x_test": np.zeros((0, 9, 9, 3), np.uint8)}, "must hold images, but is empty"),
        (
            {"y_train": np.array([{}] * 20)},
            "y_train.npy .* holds Python objects",
        ),
    ],
)
def test_a_mistake_in_an_npz_file_is_named_before_training(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        read_parts(npz_settings(tmp_path, **arrays))


def test_a_file_that_is_no_npz_is_an_error(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "one.npy", np.zeros(3))
    for name, message in [
        ("text.npz", "cannot be read"),
        ("one.npy", r"is a single array \(.npy\); put all four into one file"),
        ("none.npz", "there is none at"),
    ]:
        with pytest.raises(DataError, match=message):
            read_parts(DataSettings(name=f"npz:{tmp_path / name}"))


def test_fashion_mnist_is_read_from_files_put_in_place(tmp_path):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = np.arange(20 * 28 * 28, dtype=np.uint64).astype(np.uint8).reshape(20, 28, 28)
    for part in ("train", "t10k"):
        header = np.array([0x803, 20, 28, 28], dtype=">i4").tobytes()
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        header = np.array([0x801, 20], dtype=">i4").tobytes()
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(header + bytes(range(10)) * 2)
    settings = DataSettings(name="fashion-mnist", root=str(tmp_path))
    parts = read_parts(settings)
    images, classes = parts.train, parts.classes
    np.testing.assert_array_equal(images.pixels[..., 0], pixels)
    assert images.labels.tolist() == [*range(10)] * 2
    assert classes[0] == "T-shirt/top"


def test_svhn_is_read_height_first_and_its_ten_is_a_zero(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    file = tmp_path / "train_32x32.mat"
    labels = np.array([[10], [1], [2], [9]], dtype=np.uint8)
    scipy.io.savemat(file, {"X": pixels.transpose(1, 2, 3, 0), "y": labels})
    checksum = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    known = import_torchvision().datasets.SVHN.split_list
    monkeypatch.setitem(known, "train", ["no address", file.name, checksum])
    parts = read_parts(DataSettings(name="svhn", root=str(tmp_path)))
    images, classes = parts.train, parts.classes
    np.testing.assert_array_equal(images.pixels, pixels)
    assert images.labels.tolist() == [0, 1, 2, 9]
    assert len(classes) == 10


def test_a_download_is_told_byte_by_byte_and_not_printed(tmp_path, monkeypatch, heard, capfd):
    file = tmp_path / "train_32x32.mat"
    pixels = np.arange(40 * 32 * 32 * 3, dtype=np.uint64).astype(np.uint8)
    labels = np.tile(np.arange(1, 11, dtype=np.uint8), 4)[:, None]
    scipy.io.savemat(file, {"X": pixels.reshape(32, 32, 3, 40), "y": labels})
    content = file.read_bytes()
    checksum = hashlib.md5(content, usedforsecurity=False).hexdigest()
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    known = import_torchvision().datasets.SVHN.split_list
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/{file.name}"
        monkeypatch.setitem(known, "train", [address, file.name, checksum])
        images = read_parts(DataSettings(name="svhn", root=str(tmp_path / "new"))).train
        server.shutdown()

    assert len(images) == 40
    assert heard["downloading"] == [len(content), len(content)]
    assert list(heard) == ["fetching and reading svhn", "downloading"]
    assert "%" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cifar10", "cifar-10-python.tar.gz"),
        ("cifar100", "cifar-100-python.tar.gz"),
        ("svhn", "train_32x32.mat"),
        ("fashion-mnist", "FashionMNIST/raw/"),
    ],
)
def test_a_set_that_cannot_be_fetched_says_which_file_to_place_where(tmp_path, name, file):
    root = tmp_path / "taken"
    root.write_text("a file where the folder would be: nothing can be downloaded into it")
    with pytest.raises(DataError, match=f"{name} is not in {root} .* place .*{file}.* npz:PATH"):
        read_parts(DataSettings(name=name, root=str(root)))
