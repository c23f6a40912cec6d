"""Images in files with targets of any kind: who is in which split, and pixels of one size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from autodepth.data.content import keys_of_files
from autodepth.data.images import DEEP_MODES, UNREADABLE, decoding_threads, upright
from autodepth.data.reading.layout import Role
from autodepth.data.settings import DataSettings, Normalisation
from autodepth.data.splits import split_off, split_off_share, with_copies
from autodepth.errors import DataError
from autodepth.long_work import each
from autodepth.seeding import derive_seed
from autodepth.tasks.task import Split

Index: TypeAlias = npt.NDArray[np.int64]
Pixels: TypeAlias = npt.NDArray[np.uint8]
Size: TypeAlias = tuple[int, int]
"""Height and width, pixels."""

_TEST_SHARE, _TOLD = 0.2, 5


def drawn_splits(
    paths: Mapping[Role, Sequence[Path]], settings: DataSettings
) -> Mapping[Split, tuple[Role, Index]]:
    """Return for each split whose files it takes and which of them.

    What a source does not set apart is drawn from its training files by their content: a fifth to
    test, and then `data.validation` of the rest. The only part held out is the test split.

    Raises:
        DataError: there are too few.
    """
    keys = keys_of_files("/", tuple(str(path.absolute()) for path in paths["train"]))
    left, none = np.arange(len(keys)), np.zeros(len(keys), dtype=np.int64)
    roles: tuple[Role, ...] = ("validation", "test")
    held_out = [role for role in roles if role in paths]
    splits: dict[Split, tuple[Role, Index]] = {}
    if held_out:
        of = held_out[-1]
        splits["test"] = (of, np.arange(len(paths[of])))
    else:
        test, left = split_off_share(none, keys, _TEST_SHARE, derive_seed(0, "test"))
        splits["test"] = ("train", test)
    if len(held_out) > 1:
        splits["validation"] = ("validation", np.arange(len(paths["validation"])))
    else:
        seed = derive_seed(settings.split_seed, "validation")
        size, own = settings.validation, keys[left]
        if isinstance(size, float):
            chosen, others = split_off_share(none[left], own, size, seed)
        else:
            chosen, others = with_copies(own, split_off(none[left], size, seed, own)[0])
        splits["validation"], left = ("train", left[chosen]), left[others]
    if settings.train_images is not None and settings.train_images < len(left):
        seed = derive_seed(settings.split_seed, "train_images")
        left = left[split_off(none[left], settings.train_images, seed, keys[left])[0]]
    splits["train"] = ("train", left)
    if few := [split for split, (_, index) in splits.items() if len(index) < 2]:
        raise DataError(
            f"each split must hold at least 2 images, but of {len(keys)} there are "
            f"{len(splits[few[0]][1])} for {few[0]}: give more, or another data.validation"
        )
    return splits


def size_of(paths: Sequence[Path], settings: DataSettings) -> tuple[Size, int]:
    """Return the size that images are brought to, and 1 channel if the first ones are grey, else 3.

    Raises:
        DataError: an image cannot be read, or they have no one size and none is asked for.
    """
    sizes, grey = [], True
    for path in paths[:20]:
        try:
            with Image.open(path) as image:
                sizes.append((image.height, image.width))
                grey &= image.mode in {"1", "L", "LA"}
        except UNREADABLE as error:
            raise DataError(f"image {path} cannot be read: {error}") from error
    if settings.image_size is not None:
        return (settings.image_size, settings.image_size), 1 if grey else 3
    if len(set(sizes)) > 1:
        raise DataError(
            f"images must have one size, but {paths[0]} has {sizes[0][1]}x{sizes[0][0]} pixels and "
            "others have not: set data.image_size to bring all to one"
        )
    return sizes[0], 1 if grey else 3


def stretched(paths: Sequence[Path], size: Size, channels: int) -> tuple[Pixels, Index]:
    """Return all images brought to a size, uint8 [N, H, W, C], and their sizes before [N, 2].

    Raises:
        DataError: some cannot be read; tells which.
    """
    read = partial(_stretched, size=size, channels=channels)
    found = _all(read, paths, "decoding images")
    return np.stack([pixels for pixels, _ in found]), np.array([size for _, size in found])


def normalised(pixels: Pixels, constants: Normalisation) -> npt.NDArray[np.float32]:
    """Return images [N, H, W, C] as a network takes them, float32 [N, C, H, W]."""
    mean, std = (np.array(v, np.float32) for v in (constants.mean, constants.std))
    return np.ascontiguousarray(((pixels / np.float32(255) - mean) / std).transpose(0, 3, 1, 2))


def _stretched(path: Path, size: Size, channels: int) -> tuple[Pixels, Size]:
    with Image.open(path) as image:
        if image.mode in DEEP_MODES:
            raise ValueError(f"its mode is {image.mode}, but images must have 8 bits per channel")
        plain = upright(image).convert("RGB" if channels == 3 else "L")
    before = (plain.height, plain.width)
    if before != size:
        plain = plain.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(plain, dtype=np.uint8).reshape(*size, channels), before


def _all(
    read: Callable[[Path], tuple[Pixels, Size]], paths: Sequence[Path], what: str
) -> list[tuple[Pixels, Size]]:
    """Read all files in threads, and tell of all that cannot be read together."""

    def one(path: Path) -> tuple[Pixels, Size] | str:
        try:
            return read(path)
        except UNREADABLE as error:
            return f"image {path} cannot be read: {error}"

    with ThreadPoolExecutor(decoding_threads()) as pool:
        found = list(each(pool.map(one, paths), what, len(paths)))
    if faults := [told for told in found if isinstance(told, str)]:
        more = f"\n... and {len(faults) - _TOLD:,} more" * (len(faults) > _TOLD)
        raise DataError("\n".join(faults[:_TOLD]) + more)
    return [one for one in found if not isinstance(one, str)]
