"""Images with a mask each: folders of images and of masks, files paired by their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from autodepth.data.images import EXTENSIONS
from autodepth.data.reading.layout import Role, folders_in, is_litter, role_of
from autodepth.errors import DataError

_IMAGES = {"image", "images", "img", "imgs", "jpegimages"}
_MASKS = {"annotation", "annotations", "label", "labels", "mask", "masks", "segmentation",
          "segmentationclass"}  # fmt: skip
_TOLD = 10


@dataclass(frozen=True, eq=False, kw_only=True)
class Masked:
    """Images with a mask each.

    Args:
        paths: one image each.
        masks: of each a file of the same size, a class number per pixel.
    """

    paths: tuple[Path, ...]
    masks: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, index: npt.NDArray[np.int64]) -> Masked:
        """Return the images at `index`, in its order."""
        return Masked(
            paths=tuple(self.paths[i] for i in index), masks=tuple(self.masks[i] for i in index)
        )


_Pair: TypeAlias = tuple[Path, Path]
"""A folder of images, and that of their masks."""


def read_masks(folder: Path) -> Mapping[Role, Masked]:
    """Pair the images and masks of a folder, by the split their folders speak of.

    Args:
        folder: holds `images/` and `masks/`; or splits with these in them, such as
            `train/images/` and `train/masks/`; or these with splits in them, `images/train/`.

    Raises:
        DataError: there is no such pair, or an image lacks its mask or a mask its image; every
            one is told.
    """
    if not folder.is_dir():
        raise DataError(f"masks:PATH must name a folder, but there is none at {folder}")
    pairs = _pairs(folder)
    mistakes: list[str] = []
    found = {role: _paired(pair, mistakes) for role, pair in pairs.items()}
    if mistakes:
        more = f"\n... and {len(mistakes) - _TOLD:,} more" * (len(mistakes) > _TOLD)
        raise DataError("\n".join(mistakes[:_TOLD]) + more)
    return found


def _pairs(folder: Path) -> dict[Role, _Pair]:
    whole = _pair_in(folder)
    if whole is not None:
        images, masks = ({role_of(p.name): p for p in folders_in(place)} for place in whole)
        split = {role: (images[role], masks[role]) for role in images if role and role in masks}
        return _with_train(folder, split) if split else {"train": whole}
    split = {}
    for place in folders_in(folder):
        pair, role = _pair_in(place), role_of(place.name)
        if pair is not None and role is not None:
            split[role] = pair
    return _with_train(folder, split)


def _with_train(folder: Path, split: dict[Role, _Pair]) -> dict[Role, _Pair]:
    if "train" not in split:
        raise DataError(
            f"masks:PATH must hold images/ and masks/, or train/ with these in it, but {folder} "
            f"holds {', '.join(place.name for place in folders_in(folder)[:5]) or 'no folder'}"
        )
    return split


def _pair_in(folder: Path) -> _Pair | None:
    """Return the folders of images and of masks in a folder, if it has both."""
    by_name = {place.name.lower(): place for place in folders_in(folder)}
    images, masks = (
        next((by_name[name] for name in sorted(names & by_name.keys())), None)
        for names in (_IMAGES, _MASKS)
    )
    return None if images is None or masks is None else (images, masks)


def _paired(pair: _Pair, mistakes: list[str]) -> Masked:
    images, masks = (_by_stem(place, mistakes) for place in pair)
    mistakes += [f"{path}: there is no mask of this image in {pair[1]}"
                 for stem, path in images.items() if stem not in masks]  # fmt: skip
    mistakes += [f"{path}: there is no image of this mask in {pair[0]}"
                 for stem, path in masks.items() if stem not in images]  # fmt: skip
    both = [stem for stem in images if stem in masks]
    return Masked(
        paths=tuple(images[stem] for stem in both), masks=tuple(masks[stem] for stem in both)
    )


def _by_stem(folder: Path, mistakes: list[str]) -> dict[str, Path]:
    """Return the images of a folder by what their names are without kind and `_mask`."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if is_litter(path.name) or not path.name.lower().endswith(EXTENSIONS):
            continue
        stem = path.stem.removesuffix("_mask")
        if stem in found:
            mistakes.append(f"{path}: {found[stem].name} has the same name")
        found[stem] = path
    return found
