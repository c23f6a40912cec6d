"""Least squares that stay near where they start. Plain matrices only."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Of the pull to where a map starts, that are tried."""


@dataclass(kw_only=True)
class Moments:
    """Sums over rows of what features and targets are together.

    Args:
        features: number of features F, the constant 1 of the intercept not counted.
        targets: number of targets T.
        device: where they are summed.
    """

    features: int
    targets: int
    device: torch.device
    count: int = 0
    gram: Tensor = field(init=False)
    cross: Tensor = field(init=False)

    def __post_init__(self) -> None:
        size = self.features + 1
        made = {"dtype": torch.float64, "device": self.device}
        self.gram = torch.zeros(size, size, **made)  # type: ignore[call-overload]
        self.cross = torch.zeros(size, self.targets, **made)  # type: ignore[call-overload]

    def add(self, features: Tensor, targets: Tensor) -> None:
        """Take in rows: features [N, F], targets [N, T]."""
        rows = torch.cat((features, features.new_ones(len(features), 1)), 1)
        self.gram += (rows.T @ rows).double()
        self.cross += (rows.T @ targets).double()
        self.count += len(rows)

    def solve(
        self, start: tuple[Tensor, Tensor], strength: float, *, intercept: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Return weight [T, F] and intercept [T] of the linear map nearest to the targets.

        Minimises ``|X W + b - Y|^2 / N + strength * mean(diag(X'X / N)) * |W - W_0|^2``: what the
        rows do not tell stays as it was.

        Args:
            start: weight W_0 and intercept of the map there is.
            strength: of the pull to it, above 0.
            intercept: whether the map has one; else it is zero.
        """
        free = self.features + intercept
        gram, cross = self.gram[:free, :free] / self.count, self.cross[:free] / self.count
        before = _stacked(start)[:free]
        pull = strength * gram.diagonal()[: self.features].mean().clamp_min(1e-12)
        ridge = torch.full((free,), float(pull), dtype=gram.dtype, device=gram.device)
        if intercept:
            ridge[-1] = 1e-9  # features that never vary leave it undetermined otherwise
        solved = torch.linalg.solve(gram + ridge.diag(), cross + ridge[:, None] * before)
        weight = solved[: self.features].T
        constant = solved[-1] if intercept else weight.new_zeros(self.targets)
        return weight.to(start[0].dtype), constant.to(start[0].dtype)

    def error(self, found: tuple[Tensor, Tensor]) -> float:
        """Return the mean squared error of a linear map on these rows, but for a constant."""
        stacked = _stacked(found)
        told = (stacked * (self.gram @ stacked)).sum() - 2 * (stacked * self.cross).sum()
        return float(told) / self.count

    def plus(self, other: Moments) -> Moments:
        """Return the sums over these rows and others."""
        both = Moments(features=self.features, targets=self.targets, device=self.device)
        both.gram, both.cross = self.gram + other.gram, self.cross + other.cross
        both.count = self.count + other.count
        return both


def fitted(
    fit: Moments, check: Moments, start: tuple[Tensor, Tensor], *, intercept: bool = True
) -> tuple[Tensor, Tensor]:
    """Return the linear map nearest to the targets, as far from where it starts as rows say.

    How strong the pull to the start is, is chosen by the error on rows that were not fitted to: few
    rows of many features say little of others.

    Args:
        fit: rows to fit to.
        check: others; where there are none the pull is strong.
        start: as of `Moments.solve`.
        intercept: as of `Moments.solve`.
    """
    if not check.count:
        return fit.solve(start, STRENGTHS[-1], intercept=intercept)
    errors = {
        strength: check.error(fit.solve(start, strength, intercept=intercept))
        for strength in STRENGTHS
    }
    best = min(errors, key=errors.__getitem__)
    both = fit.plus(check)
    if errors[best] >= check.error(start):
        return start
    return both.solve(start, best, intercept=intercept)


def _stacked(found: tuple[Tensor, Tensor]) -> Tensor:
    """Return weight [T, F] and intercept [T] as one matrix [F + 1, T], in double precision."""
    return torch.cat((found[0], found[1][:, None]), 1).T.double()
