"""Trying out what a step does to channels, on random numbers with some channels left out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

IMAGES = 2  # of one alone, channels could not be told from channels of all images
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


@dataclass(frozen=True)
class Lie:
    """How channels lie along an axis, see `Slice`."""

    axis: int
    repeats: int = 1
    each: int = 1

    def taken(self, tensor: Tensor, size: int) -> Tensor:
        """Return a tensor with the channels that are kept in a trial."""
        return tensor.index_select(
            self.axis, spread(kept(size), size, repeats=self.repeats, each=self.each)
        )


@cache
def kept(size: int) -> Tensor:
    """Return channels to try a step with: a choice that is no prefix, no suffix, not symmetric."""
    left_out = {0, size // 2} if size > 3 else {0}
    return torch.tensor([i for i in range(size) if i not in left_out])


def spread(channels: Tensor, size: int, *, repeats: int, each: int) -> Tensor:
    """Return where channels lie along an axis, see `Slice`."""
    beside = (channels[:, None] * each + torch.arange(each)).flatten()
    return (torch.arange(repeats)[:, None] * (size * each) + beside).flatten()


def lie_of_channels(full: Tensor, fewer: Tensor, size: int, like: Lie | None = None) -> Lie | None:
    """Return how channels lie in `full`, of which `fewer` has the kept ones; None if it has not.

    Args:
        full: what a step gives with all channels.
        fewer: what it gives with the kept ones.
        size: number of channels.
        like: how they lay before the step.
    """
    if full.ndim != fewer.ndim:
        return None
    changed = [a for a in range(full.ndim) if full.shape[a] != fewer.shape[a]]
    if len(changed) != 1 or full.shape[changed[0]] % size:
        return None
    axis, times = changed[0], full.shape[changed[0]] // size
    ways = {(times, 1), (1, times)}
    if like is not None and times % like.repeats == 0:
        ways.add((like.repeats, times // like.repeats))
    for repeats, each in sorted(ways):
        lie = Lie(axis, repeats, each)
        if repeats > (like or lie).repeats and (axis == 0 or full.shape[0] % IMAGES):
            continue  # those of one image follow those of another
        if times * len(kept(size)) == fewer.shape[axis] and equal(lie.taken(full, size), fewer):
            return lie
    return None


def equal(one: Any, other: Any) -> bool:
    """Return whether a step gave the same, but for rounding."""
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(equal, one, other))
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return type(one) is type(other) and bool(one == other)
    if one.shape != other.shape:
        return False
    return torch.equal(one, other) or torch.allclose(
        one.float(), other.float(), rtol=1e-4, atol=1e-5, equal_nan=True
    )
