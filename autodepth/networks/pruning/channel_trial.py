"""Trying out what a step does to channels, on random numbers with some channels left out."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

_RANDOM = 65_521  # a prime, so that no two channels come to be the same


class RandomValues:
    """Random numbers of any shape, the same few over and over: copies cost less than draws."""

    def __init__(self) -> None:
        self._random = torch.rand(_RANDOM, generator=torch.Generator()) * 4 - 2

    def of(self, shape: torch.Size) -> Tensor:
        """Return numbers of a shape, between -2 and 2."""
        count = shape.numel()
        return self._random.repeat(count // len(self._random) + 1)[:count].view(shape)

    def like(self, tensor: Tensor) -> Tensor:
        """Return numbers of a tensor's shape and type."""
        values = self.of(tensor.shape)
        return values if tensor.is_floating_point() else (values > 0).to(tensor.dtype)


@cache
def kept(size: int) -> Tensor:
    """Return channels to try a step with: a choice that is no prefix, no suffix, not symmetric."""
    left_out = {0, size // 2} if size > 3 else {0}
    return torch.tensor([i for i in range(size) if i not in left_out])


def axis_of_channels(full: Tensor, fewer: Tensor, size: int) -> int | None:
    """Return along which axis `fewer` is `full` at the kept channels; None where it is not."""
    places = kept(size)
    for axis, length in enumerate(full.shape):
        if length == size and fewer.shape == (
            *full.shape[:axis],
            len(places),
            *full.shape[axis + 1 :],
        ):
            return axis if equal(full.index_select(axis, places), fewer) else None
    return None


def equal(one: Any, other: Any) -> bool:
    """Return whether a step gave the same, but for rounding."""
    if not isinstance(one, Tensor):
        return bool(one == other)
    if one.shape != other.shape:
        return False
    return torch.equal(one, other) or torch.allclose(
        one.float(), other.float(), rtol=1e-4, atol=1e-5, equal_nan=True
    )
