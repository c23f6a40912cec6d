"""What tasks on images in files share: batches of one size, normalised, mirrored by chance."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from autodepth.data.images import ArrayImages
from autodepth.data.prepare import resolve_augment, resolve_normalisation
from autodepth.data.settings import DataSettings, Normalisation
from autodepth.networks.catalogue import NetworkSpec
from autodepth.tasks.shipped.files import Pixels, normalised
from autodepth.tasks.task import Batch, Split, Task


class Examples(Protocol):
    """The images of a split, decoded when they are first asked for, and their targets."""

    @property
    def pixels(self) -> Pixels:
        """All images, uint8 [N, H, W, C]."""

    def __len__(self) -> int: ...

    def targets(self, rows: Sequence[int], mirrored: Sequence[bool]) -> Any:
        """Return the targets of some images, of which some are mirrored left to right."""


class FileTask(Task):
    """A task on images in files, held in memory in one size.

    Args:
        data: how they are prepared.
        examples: of each split.
    """

    normalisation: Normalisation

    def __init__(self, data: DataSettings, examples: Mapping[Split, Examples]) -> None:
        self._examples, train = examples, examples["train"].pixels
        self._channels = train.shape[3]
        images = ArrayImages(train, np.zeros(len(train), dtype=np.int64))
        self.normalisation = resolve_normalisation(
            data, images, pretrained=False, channels=self._channels
        )
        self._flips = resolve_augment(data, images.shape).flip

    def for_network(self, network: NetworkSpec) -> Self:
        """Return the same task; grey images fill the channels that the network takes."""
        same = copy.copy(self)
        same._channels = network.channels  # noqa: SLF001 - its own kind
        same.normalisation = self.normalisation.filling(network.channels)
        return same

    def batches(
        self, split: Split, *, batch_size: int, generator: torch.Generator | None
    ) -> FileBatches:
        """Return images and their targets."""
        return FileBatches(
            self._examples[split],
            self.normalisation,
            batch_size=batch_size,
            channels=self._channels,
            generator=generator,
            flips=self._flips,
        )


class FileBatches:
    """Passes over a split in batches.

    Args:
        examples: of the split.
        constants: what pixels are normalised with, one per channel.
        batch_size: examples in a batch; the last one may have fewer.
        channels: what the network takes; grey images are repeated to fill them.
        generator: shuffles and mirrors; None leaves all as it is.
        flips: whether every other image is mirrored, on average.
    """

    def __init__(
        self,
        examples: Examples,
        constants: Normalisation,
        *,
        batch_size: int,
        channels: int,
        generator: torch.Generator | None,
        flips: bool,
    ) -> None:
        self._examples, self._constants, self._size = examples, constants, batch_size
        self._channels, self._generator, self._flips = channels, generator, flips

    def __len__(self) -> int:
        return math.ceil(self._count() / self._size)

    def __iter__(self) -> Iterator[Batch]:
        order, mirrored = self._draw()
        for rows in torch.split(order, self._size):
            images = self._images(rows)
            turned = mirrored[rows]
            images[turned] = images[turned].flip(-1)
            yield images, self._examples.targets(rows.tolist(), turned.tolist())

    def _count(self) -> int:
        count = len(self._examples)
        # Batch normalisation cannot train on a single image.
        return count - 1 if self._generator and count % self._size == 1 < count else count

    def _draw(self) -> tuple[Tensor, Tensor]:
        """Return the order of a pass, and which images are mirrored in it."""
        count = len(self._examples)
        if self._generator is None:
            return torch.arange(count), torch.zeros(count, dtype=torch.bool)
        order = torch.randperm(count, generator=self._generator)[: self._count()]
        drawn = torch.rand(count, generator=self._generator) < 0.5
        return order, drawn & self._flips

    def _images(self, rows: Tensor) -> Tensor:
        pixels = self._examples.pixels[rows.numpy()]
        shape = (*pixels.shape[:3], self._channels)
        return torch.from_numpy(normalised(np.broadcast_to(pixels, shape), self._constants))
