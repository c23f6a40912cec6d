"""Least squares that stay near where they start. Plain matrices only."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


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
        before = torch.cat((start[0], start[1][:, None]), 1).T.double()[:free]
        pull = strength * gram.diagonal()[: self.features].mean().clamp_min(1e-12)
        ridge = torch.eye(free, dtype=gram.dtype, device=gram.device) * pull
        if intercept:
            ridge[-1, -1] = 1e-9  # features that never vary leave it undetermined otherwise
        solved = torch.linalg.solve(gram + ridge, cross + ridge @ before)
        weight = solved[: self.features].T
        constant = solved[-1] if intercept else weight.new_zeros(self.targets)
        return weight.to(start[0].dtype), constant.to(start[0].dtype)
