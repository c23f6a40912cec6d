"""Segmentation: the class of every pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from autodepth.data.images import UNREADABLE, decoding_threads
from autodepth.data.reading.annotated.masks import Masked, read_masks
from autodepth.data.settings import DataSettings
from autodepth.errors import DataError, TaskError
from autodepth.tasks.shipped.file_task import FileTask
from autodepth.tasks.shipped.files import Pixels, Size, drawn_splits, size_of, stretched
from autodepth.tasks.shipped.measures.overlap import IGNORED, Overlap
from autodepth.tasks.task import Metric

_TOLD = 5


class Segmentation(FileTask):
    """A class for every pixel, from scores [B, classes, H, W]; smaller maps are enlarged.

    Args:
        data: `masks:PATH`.
        classes: how many there are, or their names; numbers in masks are below that, or 255 for
            pixels that do not count.

    Raises:
        DataError: images or masks cannot be read, or a mask has other numbers.
        TaskError: `classes` are not two or more.
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "miou": Metric(unit="%"),
        "pixel_accuracy": Metric(unit="%"),
    }

    def __init__(self, data: DataSettings, *, classes: int | Sequence[str]) -> None:
        self.names = tuple(map(str, range(classes) if isinstance(classes, int) else classes))
        self.outputs = len(self.names)
        if isinstance(classes, str) or not 1 < self.outputs < IGNORED:
            raise TaskError(
                f"task.arguments.classes must be 2 to 254, or their names, but got {classes!r}"
            )
        kind, _, place = data.name.partition(":")
        if kind != "masks":
            raise DataError(f"segmentation learns from masks:PATH, but data.name is {data.name!r}")
        parts = read_masks(Path(place).expanduser())
        splits = drawn_splits({role: found.paths for role, found in parts.items()}, data)
        masked = {split: parts[role].subset(index) for split, (role, index) in splits.items()}
        size, channels = size_of(masked["train"].paths, data)
        maps = {s: _Maps(found, size, channels, self.outputs) for s, found in masked.items()}
        super().__init__(data, maps)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of the pixels that count."""
        scores = _enlarged(outputs, targets).float()
        summed = F.cross_entropy(scores, targets, ignore_index=IGNORED, reduction="sum")
        return summed / (targets != IGNORED).sum().clamp_min(1)

    def meter(self) -> _Enlarged:
        """Return what counts pixels of a split."""
        return _Enlarged(Overlap(self.outputs))

    def divergence(self, outputs: Tensor, whole: Tensor) -> Tensor:
        """Return KL(whole || smaller) of the classes of a pixel in nats, summed over images."""
        logs, wanted = outputs.float().log_softmax(1), whole.float().log_softmax(1)
        return F.kl_div(logs, wanted, log_target=True, reduction="none").sum(1).mean((1, 2)).sum()

    def distillation(self, outputs: Tensor, teachers: Tensor, temperature: float) -> Tensor:
        """Return T^2 KL(teacher || student) of softened scores, mean over pixels."""
        softened = self.divergence(outputs / temperature, teachers / temperature)
        return temperature**2 * softened / len(outputs)


class _Enlarged:
    """Measures scores as large as their masks."""

    def __init__(self, overlap: Overlap) -> None:
        self._overlap = overlap

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        self._overlap.update(_enlarged(outputs, targets), targets)

    def compute(self) -> dict[str, float]:
        return self._overlap.compute()


class _Maps:
    """The images of a split, decoded when they are first asked for, and masks of that size."""

    def __init__(self, masked: Masked, size: Size, channels: int, classes: int) -> None:
        self._masked, self._size = masked, size
        self._channels, self._classes = channels, classes

    def __len__(self) -> int:
        return len(self._masked)

    @property
    def pixels(self) -> Pixels:
        return self._held[0]

    def targets(self, rows: Sequence[int], mirrored: Sequence[bool]) -> Tensor:
        masks = torch.from_numpy(self._held[1][list(rows)]).long()
        turned = torch.tensor(mirrored, dtype=torch.bool)
        masks[turned] = masks[turned].flip(-1)
        return masks

    @cached_property
    def _held(self) -> tuple[Pixels, Pixels]:
        pixels, before = stretched(self._masked.paths, self._size, self._channels)
        return pixels, _class_maps(self._masked.masks, before, self._size, self._classes)


def _enlarged(outputs: Tensor, masks: Tensor) -> Tensor:
    if outputs.shape[-2:] == masks.shape[-2:]:
        return outputs
    return F.interpolate(outputs, size=masks.shape[-2:], mode="bilinear", align_corners=False)


def _class_maps(
    paths: Sequence[Path], sizes: npt.NDArray[np.int64], size: Size, classes: int
) -> Pixels:
    """Return masks [N, H, W] brought to a size.

    Raises:
        DataError: some are no masks of their images, or have numbers beyond the classes.
    """

    def one(path: Path, before: Sequence[int]) -> Pixels | str:
        try:
            return _class_map(path, tuple(before), size, classes)
        except UNREADABLE as error:
            return f"mask {path} cannot be used: {error}"

    with ThreadPoolExecutor(decoding_threads()) as pool:
        found = list(pool.map(one, paths, sizes.tolist()))
    if faults := [told for told in found if isinstance(told, str)]:
        more = f"\n... and {len(faults) - _TOLD:,} more" * (len(faults) > _TOLD)
        raise DataError("\n".join(faults[:_TOLD]) + more)
    return np.stack([each for each in found if not isinstance(each, str)])


def _class_map(path: Path, before: tuple[int, ...], size: Size, classes: int) -> Pixels:
    with Image.open(path) as mask:
        if mask.mode not in {"1", "L", "P"}:
            raise ValueError(f"it must hold a class number per pixel, but its mode is {mask.mode}")
        if (mask.height, mask.width) != before:
            raise ValueError(
                f"it must be of the size of its image, {before[1]}x{before[0]}, but is "
                f"{mask.width}x{mask.height}"
            )
        numbers = mask.resize((size[1], size[0]), Image.Resampling.NEAREST)
        found = np.asarray(numbers, dtype=np.uint8)
    beyond = np.unique(found[(found >= classes) & (found != IGNORED)])
    if len(beyond):
        raise ValueError(f"it has the number {beyond[0]}, but task.arguments.classes is {classes}")
    return found
