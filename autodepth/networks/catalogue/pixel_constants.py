"""The mean and standard deviation of pixels that weights were trained with, where they are told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autodepth.networks.catalogue.libraries import timm_models
from autodepth.networks.weights.checkpoint_file import Unread, read_checkpoint
from autodepth.torchvision_door import pixel_constants

_TORCHVISION, _TIMM = "torchvision:", "timm:"


@dataclass(frozen=True, kw_only=True)
class PixelConstants:
    """What pixels in [0, 1] are normalised with.

    Args:
        mean: per channel.
        std: per channel.
        source: who says so.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str

    def __str__(self) -> str:
        mean, std = (" ".join(f"{v:.4g}" for v in values) for values in (self.mean, self.std))
        return f"mean {mean}, std {std} ({self.source})"


def constants_of(name: str, weights: Path) -> PixelConstants | None:
    """Return the constants that weights were trained with; None where nothing tells them.

    Asked are the arguments of the training script in the file, then the description that
    libraries keep beside it, then the library the network is of.

    Raises:
        WeightsError: the file cannot be read.
    """
    return _of_script(weights) or _of_folder(weights) or _of_library(name)


def _of_script(weights: Path) -> PixelConstants | None:
    content = read_checkpoint(weights)
    arguments = content.get("args") if isinstance(content, Mapping) else None
    if isinstance(arguments, Unread):
        arguments = arguments.state
    return _told(arguments, "mean", "std", f"the arguments kept in {weights.name}")


def _of_folder(weights: Path) -> PixelConstants | None:
    folder = weights if weights.is_dir() else weights.parent
    for file, section, mean, std in (
        ("preprocessor_config.json", None, "image_mean", "image_std"),
        ("config.json", "pretrained_cfg", "mean", "std"),
    ):
        try:
            values = json.loads((folder / file).read_text())
        except (OSError, ValueError):
            continue
        if isinstance(values, dict) and section is not None:
            values = values.get(section)
        if found := _told(values, mean, std, f"{file} beside the weights"):
            return found
    return None


def _of_library(name: str) -> PixelConstants | None:
    for prefix, ask in ((_TIMM, timm_models.pixel_constants), (_TORCHVISION, pixel_constants)):
        if name.startswith(prefix):
            mean, std = ask(name.removeprefix(prefix))
            source = f"the library's configuration of {name}"
            return _told({"mean": mean, "std": std}, "mean", "std", source)
    return None


def _told(values: Any, mean: str, std: str, source: str) -> PixelConstants | None:
    """Return constants that a mapping holds, if they are such."""
    if not isinstance(values, Mapping):
        return None
    found = (values.get(mean), values.get(std))
    if not all(isinstance(v, list | tuple) and v and all(map(_is_number, v)) for v in found):
        return None
    means, stds = (tuple(map(float, v)) for v in found if v is not None)
    if len(means) != len(stds) or min(stds) <= 0:
        return None
    return PixelConstants(mean=means, std=stds, source=source)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
