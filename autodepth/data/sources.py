"""Where images come from: one reader per kind of data set, training and test part apart.

The test part never depends on a person's settings: sets that come without one have a fifth of
their images split off by a seed fixed here, so no choice of `split_seed` can train on them.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autodepth.data.folders import Parts, read_folder
from autodepth.data.images import ArrayImages
from autodepth.data.settings import DataSettings
from autodepth.data.splits import Part, split_test
from autodepth.errors import DataError
from autodepth.long_work import long_work
from autodepth.torchvision_door import downloads_shown, import_torchvision

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


class _Named(NamedTuple):
    """A data set torchvision can fetch, and the files it is looked for in below the root."""

    dataset: str
    files: str


_TORCHVISION = {
    "cifar10": _Named("CIFAR10", "cifar-10-python.tar.gz"),
    "cifar100": _Named("CIFAR100", "cifar-100-python.tar.gz"),
    "svhn": _Named("SVHN", "train_32x32.mat and test_32x32.mat"),
    "fashion-mnist": _Named("FashionMNIST", "the four FashionMNIST/raw/*-ubyte.gz files"),
}


def read_parts(settings: DataSettings) -> Parts:
    """Return the images of a source, as it has them, the test part apart.

    Raises:
        DataError: the data is missing, unreadable, or not what it must be.
    """
    kind, _, path = settings.name.partition(":")
    if kind == "folder":
        by_content = settings.split_rule == "content"
        return read_folder(Path(path).expanduser(), settings.image_size, by_content=by_content)
    if kind == "npz":
        return _read_npz(Path(path).expanduser())
    if kind == "digits":
        return _read_digits()
    root = Path(settings.root).expanduser()
    train, classes = _read_torchvision(kind, root, "train")
    return Parts(
        train=train, test=lambda: _read_torchvision(kind, root, "test")[0], classes=classes
    )


def _read_digits() -> Parts:
    from sklearn.datasets import load_digits  # noqa: PLC0415  (half a second, only for this set)

    digits = load_digits()
    # Stored as 0..16; 15.9375 takes 16 to 255.
    pixels = (digits.images * 15.9375).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    images = ArrayImages(pixels, labels)
    return Parts(
        train=images.subset(split_test(labels, "train")),
        test=lambda: images.subset(split_test(labels, "test")),
        classes=tuple(str(n) for n in digits.target_names),
    )


def _read_torchvision(name: str, root: Path, part: Part) -> tuple[ArrayImages, tuple[str, ...]]:
    dataset, files = _TORCHVISION[name]
    make = getattr(import_torchvision().datasets, dataset)
    which: dict[str, Any] = {"split": part} if name == "svhn" else {"train": part == "train"}
    try:
        # CIFAR comes as pickles; torchvision opens them only if their checksums are the known ones.
        with long_work(f"fetching and reading {name}"), downloads_shown():
            found = make(root=str(root), download=True, **which)
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"{name} is not in {root} and could not be downloaded ({error}); place {files} in "
            f"{root}, or give images of your own as folder:PATH or npz:PATH"
        ) from error
    pixels, labels = np.asarray(found.data), found.labels if name == "svhn" else found.targets
    if name == "svhn":
        pixels = pixels.transpose(0, 2, 3, 1)
    pixels = np.ascontiguousarray(pixels if pixels.ndim == 4 else pixels[..., None])
    classes = [str(n) for n in range(10)] if name == "svhn" else found.classes
    return ArrayImages(pixels, np.asarray(labels, dtype=np.int64)), tuple(classes)


def _read_npz(path: Path) -> Parts:
    """Read both parts, so that a fault in the test part shows before training, not after."""
    arrays = _open_npz(path)
    train, test = (
        ArrayImages(
            _npz_pixels(f"x_{which} of {path}", arrays[f"x_{which}"]),
            _npz_labels(f"y_{which} of {path}", arrays[f"y_{which}"], len(arrays[f"x_{which}"])),
        )
        for which in ("train", "test")
    )
    if train.shape != test.shape:
        raise DataError(
            f"x_train and x_test of {path} must hold images of one size, "
            f"but got {list(train.shape)} and {list(test.shape)}"
        )
    last = int(train.labels.max())
    if test.labels.max() > last:
        raise DataError(
            f"y_test of {path} must hold labels of y_train, 0 to {last}, "
            f"but got {test.labels.max()}"
        )
    classes = tuple(str(number) for number in range(last + 1))
    return Parts(train=train, test=lambda: test, classes=classes)


def _open_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    if not path.is_file():
        raise DataError(f"npz:PATH must name a file, but there is none at {path}")
    try:
        archive = np.load(path, allow_pickle=False)
        held = archive.files if isinstance(archive, np.lib.npyio.NpzFile) else []
        missing = [name for name in _ARRAYS if name not in held]
        if not missing:
            with archive, long_work(f"reading {path.name}"):
                return {name: archive[name] for name in _ARRAYS}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as an npz file of plain arrays: {error}") from error
    raise DataError(
        f"an npz file must hold {', '.join(_ARRAYS)}, but {path} has no {' and no '.join(missing)}"
    )


def _npz_pixels(where: str, pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    grey = pixels.ndim == 3
    if pixels.dtype != np.uint8 or not (grey or (pixels.ndim == 4 and pixels.shape[3] in (1, 3))):
        raise DataError(
            f"{where} must be uint8 (0 to 255) of shape [N, H, W], [N, H, W, 1] or [N, H, W, 3], "
            f"but got {pixels.dtype} {list(pixels.shape)}"
        )
    if not pixels.size:
        raise DataError(f"{where} must hold images, but is empty: {list(pixels.shape)}")
    return pixels[..., None] if grey else pixels


def _npz_labels(where: str, labels: npt.NDArray[Any], images: int) -> npt.NDArray[np.int64]:
    if labels.dtype.kind not in "iu" or labels.shape not in ((images,), (images, 1)):
        raise DataError(
            f"{where} must be {images} whole numbers, one class per image, "
            f"but got {labels.dtype} {list(labels.shape)}"
        )
    if labels.min() < 0:
        raise DataError(f"{where} must hold classes from 0, but got {labels.min()}")
    return labels.reshape(-1).astype(np.int64)
