"""What data to take and how to prepare it. Plain values: no torch here."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from autodepth.errors import DataError, did_you_mean
from autodepth.paths import absolute

Augment = Literal["auto", "none", "flip-crop"]
AUGMENTS: tuple[Augment, ...] = get_args(Augment)
NAMES = ("digits", "cifar10", "cifar100", "svhn", "fashion-mnist")
UNLABELLED = "unlabelled:"
HUB = "hf-data:"
PREFIXES = ("folder:", "npz:", HUB, UNLABELLED, "coco:", "voc:", "masks:", "csv:")
PACKED = ("folder:", UNLABELLED)
"""Kinds of data that may be kept decoded."""
TASK_DATA = "task"
"""Name of the examples that a task brings along itself."""
_NORMALISATIONS = ("auto", "data", "imagenet")
ValidationFrom = Literal["train", "test"]
VALIDATIONS: tuple[ValidationFrom, ...] = get_args(ValidationFrom)
SplitRule = Literal["content", "position"]
SPLIT_RULES: tuple[SplitRule, ...] = get_args(SplitRule)


@dataclass(frozen=True)
class Normalisation:
    """`(pixel / 255 - mean) / std`, one mean and std per channel.

    Args:
        mean: per channel, on the scale where white is 1.
        std: per channel, above 0, on the same scale.

    Raises:
        DataError: lengths differ or a value is outside its range.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std):
            raise DataError(
                "data.normalisation must give one mean and one std per channel, "
                f"but got mean={self.mean} and std={self.std}"
            )
        if not all(math.isfinite(value) for value in self.mean):
            raise DataError(f"data.normalisation.mean must be finite, but got {self.mean}")
        if not all(0 < value < math.inf for value in self.std):
            raise DataError(f"data.normalisation.std must be above 0, but got {self.std}")

    def filling(self, channels: int) -> Normalisation:
        """Return the constants of so many channels: those of grey images are repeated for each."""
        if len(self.mean) > 1:
            return self
        return Normalisation(mean=self.mean * channels, std=self.std * channels)


IMAGENET = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which images, how they are split, and how they are prepared.

    Args:
        name: `digits`, `cifar10`, `cifar100`, `svhn`, `fashion-mnist`, `folder:PATH`,
            `npz:PATH`, `hf-data:PATH` or `hf-data:OWNER/NAME`, `unlabelled:PATH` for images whose
            labels nobody knows, `coco:PATH` and `voc:PATH` for images with boxes, `masks:PATH` with
            masks, `csv:FILE` with numbers, or `task` where the task brings examples of its own.
        root: folder that named sets are downloaded to, and images packed in.
        validation: share of the training images in (0, 1), or their number.
        validation_from: `train` takes them from the training part, or from a validation part that
            the source has; `test` takes half of the test part, for weights that were trained on
            all of the training part, and the other half is the test split then. A number for
            `validation` takes that many of the half, a share takes all of it.
        train_images: at most this many images to train on, taken class by class after the
            validation split; a smaller number takes a subset of a larger; None takes all.
        image_size: height and width in pixels every image is brought to (shorter side resized,
            centre cut out); None takes images as they are, and then all must have one size.
        packed_size: height and width in pixels that training images are kept decoded at, in a
            file below `root`, where they are too many for memory; random boxes are cut out of
            these squares then. None decodes the files at each pass.
        augment: `auto` fits the data set (see `prepare.resolve_augment`), `flip-crop` mirrors
            and shifts, `none` leaves images alone.
        normalisation: `data` takes mean and std of the training split, `imagenet` the usual
            constants, `auto` one of the two (see `prepare.resolve_normalisation`).
        split_seed: decides which images validate. The test split never depends on it.
        split_rule: how images of folders are drawn into splits: by their `content`, so that more
            images move none; by their `position` among all, as studies of earlier versions have.

    Raises:
        DataError: a value is unknown or outside its range.
    """

    name: str
    root: str = "data"
    validation: float | int = 0.1
    validation_from: ValidationFrom = "train"
    train_images: int | None = None
    image_size: int | None = None
    packed_size: int | None = None
    augment: Augment = "auto"
    normalisation: Literal["auto", "data", "imagenet"] | Normalisation = "auto"
    split_seed: int = 0
    split_rule: SplitRule = "content"

    def __post_init__(self) -> None:
        _check_name(self.name)
        share = isinstance(self.validation, float)
        if not (0 < self.validation < 1 if share else _is_count(self.validation)):
            raise DataError(
                "data.validation must be a share in (0, 1) or a whole number of images, "
                f"but got {self.validation!r}"
            )
        for field in ("train_images", "image_size", "packed_size"):
            value = getattr(self, field)
            if value is not None and not _is_count(value):
                raise DataError(f"data.{field} must be a whole number above 0, but got {value!r}")
        if self.packed_size is not None:
            self._check_packed(self.packed_size)
        _check_choice("validation_from", self.validation_from, VALIDATIONS)
        _check_choice("augment", self.augment, AUGMENTS)
        _check_choice("split_rule", self.split_rule, SPLIT_RULES)
        if not isinstance(self.normalisation, Normalisation):
            _check_choice("normalisation", self.normalisation, _NORMALISATIONS)

    def _check_packed(self, size: int) -> None:
        if not self.name.startswith(PACKED):
            raise DataError(
                f"data.packed_size is for {' and '.join(f'{kind}PATH' for kind in PACKED)}, but "
                f"got data.name {self.name!r}"
            )
        if self.image_size is None or size < self.image_size:
            raise DataError(
                "data.packed_size must be at least data.image_size, but got "
                f"packed_size={size} and image_size={self.image_size}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        values = asdict(self)
        if isinstance(self.normalisation, Normalisation):
            values["normalisation"] = {
                "mean": list(self.normalisation.mean),
                "std": list(self.normalisation.std),
            }
        return values

    @property
    def unlabelled(self) -> bool:
        """Whether the images have no labels but a network's own answers."""
        return self.name.startswith(UNLABELLED)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DataSettings:
        """Read what `to_dict` wrote; earlier versions did not tell `split_rule`, and had one.

        Raises:
            DataError: a name is unknown or missing, or a value outside its range.
        """
        _check_keys("data", values, [item.name for item in fields(cls)])
        if "name" not in values:
            raise DataError(f"data.name is missing; it must be one of {_known()}")
        values = {"split_rule": "position", **values}
        constants = values.get("normalisation")
        if isinstance(constants, dict):
            _check_keys("data.normalisation", constants, ["mean", "std"])
            values["normalisation"] = Normalisation(
                mean=tuple(constants.get("mean", ())), std=tuple(constants.get("std", ()))
            )
        return cls(**values)


def absolute_paths(name: str, root: str) -> dict[str, str]:
    """Return what is a path among the two, as every process finds it: `folder:/home/me/birds`.

    Args:
        name: as of `DataSettings`.
        root: likewise; it counts where a set is fetched.

    Raises:
        InputError: as of `autodepth.paths.absolute`.
    """
    kind, _, place = name.partition(":")
    if kind == HUB.rstrip(":") and not Path(place).expanduser().exists():
        return {}  # a repository
    if place:
        return {"name": f"{kind}:{absolute(place)}"}
    return {} if name in {"digits", TASK_DATA} else {"root": str(absolute(root))}


def without_place(name: str) -> str:
    """Return the name of a data set as it may leave this machine: `folder:birds` of its path."""
    kind, _, place = name.partition(":")
    if kind == HUB.rstrip(":") and not Path(place).expanduser().exists():
        return name
    return f"{kind}:{Path(place).absolute().name}" if place else kind


def _known() -> str:
    return ", ".join([*NAMES, *(f"{prefix}PATH" for prefix in PREFIXES)])


def _check_name(name: str) -> None:
    if name in (*NAMES, TASK_DATA):
        return
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
    if prefix is None:
        hint = did_you_mean(name, NAMES)
        if name.endswith(".npz") or Path(name).is_dir():
            hint = f", did you mean '{'npz' if name.endswith('.npz') else 'folder'}:{name}'?"
        raise DataError(f"data.name must be one of {_known()}, but got {name!r}{hint}")
    if name == prefix:
        raise DataError(f"data.name {name!r} lacks a path: write {prefix}PATH")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _check_choice(field: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise DataError(
            f"data.{field} must be one of {', '.join(known)}, but got {value!r}"
            + did_you_mean(str(value), known)
        )


def _check_keys(where: str, values: dict[str, Any], known: list[str]) -> None:
    for key in values:
        if key not in known:
            raise DataError(f"unknown setting '{where}.{key}'" + did_you_mean(key, known))
