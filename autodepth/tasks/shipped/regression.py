"""Regression: numbers told of an image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from autodepth.data.reading.annotated.csv_targets import Numbered, read_csv
from autodepth.data.settings import DataSettings
from autodepth.errors import DataError
from autodepth.tasks.shipped.file_task import FileTask
from autodepth.tasks.shipped.files import Pixels, Size, drawn_splits, size_of, stretched
from autodepth.tasks.task import Metric


class Regression(FileTask):
    """One or several numbers of an image, in the units of the file.

    Errors count in standard deviations of the training targets, so that of several none outweighs
    the others.

    Args:
        data: `csv:FILE`.
        targets: names of its columns to learn; none for all but the image and `split`.

    Raises:
        DataError: the file or an image cannot be read.
    """

    def __init__(self, data: DataSettings, *, targets: Sequence[str] = ()) -> None:
        kind, _, place = data.name.partition(":")
        if kind != "csv":
            raise DataError(f"regression learns from csv:FILE, but data.name is {data.name!r}")
        parts = read_csv(Path(place).expanduser(), targets)
        splits = drawn_splits({role: found.paths for role, found in parts.items()}, data)
        found = {split: parts[role].subset(index) for split, (role, index) in splits.items()}
        size, channels = size_of(found["train"].paths, data)
        super().__init__(data, {split: _Rows(f, size, channels) for split, f in found.items()})
        train = torch.from_numpy(found["train"].targets)
        self.names = found["train"].names
        self.outputs = len(self.names)
        self._mean, self._sd = train.mean(0), train.std(0).clamp_min(1e-12)
        guessed = float((train - train.mean(0)).abs().mean())  # by who always tells the mean
        self.metrics = {  # type: ignore[misc]
            "mae": Metric(worst=max(guessed, 1e-12), best=0.0),
            "r2": Metric(),
        }

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean smooth L1 of errors in standard deviations (Girshick 2015)."""
        sd = self._sd.to(targets.device)
        return F.smooth_l1_loss(outputs.float() / sd, targets / sd)

    def targets_spread(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the training targets."""
        return self._mean, self._sd

    def meter(self) -> Errors:
        """Return what compares the numbers of a split."""
        return Errors(self._mean)


class Errors:
    """Takes in numbers told and numbers that are, and measures a split of them.

    Args:
        mean: of the training targets, which R2 compares with.
    """

    def __init__(self, mean: Tensor) -> None:
        self._mean = mean.double()
        self._absolute = self._squared = self._spread = torch.zeros(len(mean), dtype=torch.float64)
        self._seen = 0

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take in one batch."""
        told, there = outputs.double().cpu(), targets.double().cpu()
        self._absolute = self._absolute + (told - there).abs().sum(0)
        self._squared = self._squared + (told - there).square().sum(0)
        self._spread = self._spread + (there - self._mean).square().sum(0)
        self._seen += len(there)

    def compute(self) -> dict[str, float]:
        """Return the mean absolute error and R2, each a mean over the targets."""
        explained = 1 - self._squared / self._spread.clamp_min(1e-12)
        return {
            "mae": float(self._absolute.mean() / self._seen),
            "r2": float(explained.mean()),
        }


class _Rows:
    """The images of a split, decoded when they are first asked for, and their numbers."""

    def __init__(self, numbered: Numbered, size: Size, channels: int) -> None:
        self._numbered, self._size, self._channels = numbered, size, channels

    def __len__(self) -> int:
        return len(self._numbered)

    @cached_property
    def pixels(self) -> Pixels:
        return stretched(self._numbered.paths, self._size, self._channels)[0]

    def targets(self, rows: Sequence[int], mirrored: Sequence[bool]) -> Tensor:  # noqa: ARG002
        return torch.from_numpy(self._numbered.targets[list(rows)])
