"""Batches of a task's own on the device, and what training asks of batches of any kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from autodepth.errors import InputError
from autodepth.tasks.task import Batch


class Batches(Protocol):
    """Passes over one split; generators in the same state give the same pass."""

    @property
    def generator(self) -> torch.Generator | None:
        """What a pass draws its randomness from; None where it draws none."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Batch]: ...

    def size(self, number: int) -> int:
        """Return how many examples the batch of a number, from 0, has in all its parts."""

    def part(self, rows: Callable[[int], slice]) -> Batches:
        """Return the same passes, of which each batch is only a part."""


class SizedBatches(Protocol):
    """Batches whose number is known."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Batch]: ...


class LoadedBatches:
    """Batches that a task gives, brought to the device.

    Args:
        loaded: what the task gives, such as a `torch.utils.data.DataLoader`.
        device: where batches are wanted.
        generator: what the task was given to draw from.
        every: of the batches of a pass, one in so many is given.
    """

    def __init__(
        self,
        loaded: SizedBatches,
        *,
        device: torch.device,
        generator: torch.Generator | None = None,
        every: int = 1,
    ) -> None:
        self._loaded, self._device, self._every = loaded, device, every
        self.generator = generator
        self._sizes: dict[int, int] = {}

    def __len__(self) -> int:
        return math.ceil(len(self._loaded) / self._every)

    def __iter__(self) -> Iterator[Batch]:
        for number, (inputs, targets) in enumerate(self._loaded):
            if number % self._every == 0:
                self._sizes[number // self._every] = len(inputs)
                yield laid_out(inputs, self._device), moved(targets, self._device)

    def size(self, number: int) -> int:
        """Return how many examples a batch has that was given already."""
        return self._sizes[number]

    def part(self, rows: Callable[[int], slice]) -> LoadedBatches:
        """Return the same passes; a part of a batch is all of it.

        Raises:
            InputError: there are other parts.
        """
        if rows(2) != slice(0, 2):
            raise InputError(
                "a task of one's own trains in one process, but several were asked for"
            )
        return self


def laid_out(inputs: Tensor, device: torch.device) -> Tensor:
    """Return images [B, C, H, W] on the device in the layout of weights, others as they are."""
    if inputs.ndim == 4:
        return inputs.to(device, memory_format=torch.channels_last)
    return inputs.to(device)


def moved(targets: Any, device: torch.device) -> Any:
    """Return targets on the device, in whatever lists, tuples and mappings they are."""
    if isinstance(targets, Tensor):
        return targets.to(device)
    if isinstance(targets, Mapping):
        return {name: moved(value, device) for name, value in targets.items()}
    if isinstance(targets, list | tuple):
        return type(targets)([moved(value, device) for value in targets])
    return targets
