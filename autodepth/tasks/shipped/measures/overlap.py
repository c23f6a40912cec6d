"""How far maps of classes overlap with those that are there: intersection over union."""

from __future__ import annotations

import torch
from torch import Tensor

IGNORED = 255
"""Of a mask: pixels that count for nothing."""


class Overlap:
    """Takes in scores of pixels, and counts which class was told where another is.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._counts = torch.zeros(classes, classes, dtype=torch.int64)

    def update(self, scores: Tensor, masks: Tensor) -> None:
        """Take in scores [B, classes, H, W] and class numbers [B, H, W]."""
        counted = masks != IGNORED
        pairs = masks[counted] * self._classes + scores.argmax(1)[counted]
        found = torch.bincount(pairs.cpu(), minlength=self._classes**2)
        self._counts += found.view(self._classes, self._classes)

    def compute(self) -> dict[str, float]:
        """Return the mean over the classes that are there or were told, and right pixels."""
        right = self._counts.diagonal().double()
        union = self._counts.sum(0) + self._counts.sum(1) - self._counts.diagonal()
        of_class = right[union > 0] / union[union > 0]
        whole = self._counts.sum().clamp_min(1)
        return {"miou": float(of_class.mean()), "pixel_accuracy": float(right.sum() / whole)}
