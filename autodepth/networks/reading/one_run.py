"""What one run of a network gave and did, and how far two such runs are apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

_ROUNDING = 1000  # times the precision of the numbers: what is another network differs by more
_SMALL = 4096  # the gradients of larger parameters cost time, and show no more


@dataclass
class Run:
    """What one run of a network gave and did.

    Args:
        modes: the training flag of each module.
        outputs: the tensors it gave.
        drawn: what Python's and numpy's generators give next, after a run in training.
        gradients: of each parameter that gets one; None where none can be had.
        moved: the tensors that the run changed.
        error: what it raised.
    """

    modes: dict[str, bool]
    outputs: list[Tensor] = field(default_factory=list)
    drawn: tuple[float, float] = (0.0, 0.0)
    gradients: dict[str, Tensor] | None = None
    moved: dict[str, Tensor] = field(default_factory=dict)
    error: Exception | None = None

    def tolerance(self) -> float:
        """Return what rounding may come to; whole numbers are equal or not."""
        precisions = [torch.finfo(t.dtype).eps for t in self.outputs if t.dtype.is_floating_point]
        return min(0.05, _ROUNDING * max(precisions, default=0.0))

    def apart(self, other: Run) -> float:
        """Return how far the outputs of another run are off, as a share of the largest."""
        pairs = zip_longest(self.outputs, other.outputs)
        return max((off_by(*pair) for pair in pairs), default=0.0)


def outputs_of(value: object) -> list[Tensor]:
    """Return the tensors in what a network or module gave, as they are now."""
    return [leaf.clone() for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def off_by(one: Tensor | None, other: Tensor | None, scale: float | None = None) -> float:
    """Return how far two tensors are apart, as a share of the largest value of the first."""
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return float("inf")
    if torch.equal(one, other):
        return 0.0
    a, b = (tensor.detach().to(torch.complex128) for tensor in (one, other))
    if not torch.equal(a.isfinite(), b.isfinite()):
        return float("inf")
    apart = torch.where(a.isfinite(), (a - b).abs(), 0).max().item()
    return apart / (scale or size_of(one) or 1.0)


def size_of(tensor: Tensor) -> float:
    """Return the largest finite value of a tensor."""
    finite = torch.nan_to_num(tensor.detach().abs().double(), posinf=0.0)
    return finite.max().item() if finite.numel() else 0.0


def gradients_of(
    network: nn.Module, outputs: list[Tensor], names: Mapping[int, str], *, values: bool
) -> dict[str, Tensor] | None:
    """Return the gradient of each parameter that gets one; zero where its value is not needed."""
    generator = torch.Generator().manual_seed(0)
    ends = [torch.view_as_real(t) if t.is_complex() else t for t in outputs if t.requires_grad]
    reached = _reached(ends)
    parameters = [p for p in network.parameters() if id(p) in reached]
    small = [p for p in parameters if p.numel() <= _SMALL]
    aims = [torch.randn(end.shape, generator=generator).to(end.dtype) for end in ends]
    found: dict[str, Tensor] = {names.get(id(p), ""): p.new_zeros(()) for p in parameters}
    if not small or not values:
        return found
    try:
        gradients = torch.autograd.grad(ends, small, aims, allow_unused=True)
    except RuntimeError:  # something the gradient needs was changed in place
        return None
    for parameter, gradient in zip(small, gradients, strict=True):
        if gradient is not None:
            found[names.get(id(parameter), "")] = gradient
    return found


def _reached(ends: list[Tensor]) -> set[int]:
    """Return the ids of the tensors that gradients go to, without computing any."""
    waiting, seen, reached = [end.grad_fn for end in ends], set[Any](), set[int]()
    while waiting:
        step = waiting.pop()
        if step is not None and step not in seen:
            seen.add(step)
            reached.add(id(getattr(step, "variable", None)))
            waiting.extend(before for before, _ in step.next_functions)
    return reached
