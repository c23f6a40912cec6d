"""How well vectors tell identities apart: the nearest other one, and all pairs by their cosine.

Shapes: N vectors, D their dimension.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FALSE_ACCEPTS = 1e-3
_ROWS = 512  # compared with all others at a time
_BINS = 20_000  # of cosines from -1 to 1


class Similarity:
    """Takes in vectors and labels of a split, and measures them together."""

    def __init__(self) -> None:
        self._vectors: list[Tensor] = []
        self._labels: list[Tensor] = []

    def update(self, vectors: Tensor, labels: Tensor) -> None:
        """Take in one batch."""
        self._vectors.append(F.normalize(vectors.float()))
        self._labels.append(labels)

    def compute(self) -> dict[str, float]:
        """Return every metric by its name."""
        vectors, labels = torch.cat(self._vectors), torch.cat(self._labels)
        nearest, pairs = _compared(vectors, labels)
        accepted_same, accepted_other = _accepted(pairs[0]), _accepted(pairs[1])
        rejected_other = 1 - accepted_other
        strict = accepted_other <= FALSE_ACCEPTS
        return {
            "recall_at_1": nearest,
            "verification_accuracy": float(((accepted_same + rejected_other) / 2).max()),
            "tar_at_far_1e_3": float(accepted_same[strict].max()),
        }


def _compared(vectors: Tensor, labels: Tensor) -> tuple[float, Tensor]:
    """Return recall at 1, and how many pairs have each cosine: those of one identity, others.

    Vectors whose identity has no other one count in pairs alone.
    """
    counts = torch.zeros(2, _BINS, dtype=torch.float64)
    hits = asked = 0
    for start in range(0, len(vectors), _ROWS):
        rows = slice(start, start + _ROWS)
        cosines = (vectors[rows] @ vectors.T).clamp(-1, 1)
        same = labels[rows, None] == labels[None]
        place = torch.arange(len(cosines), device=labels.device)
        itself = torch.zeros_like(same)
        itself[place, place + start] = True
        for kind, wanted in enumerate((same & ~itself, ~same)):
            counts[kind] += torch.histc(cosines[wanted].cpu(), _BINS, -1, 1).double()
        nearest = cosines.masked_fill(itself, -2).argmax(1)
        has_mate = (same & ~itself).any(1)
        hits += int((labels[nearest] == labels[rows])[has_mate].sum())
        asked += int(has_mate.sum())
    return hits / max(1, asked), counts


def _accepted(counts: Tensor) -> Tensor:
    """Return the share of pairs whose cosine is in a bin or above, for each, and 0 for none."""
    above = counts.flip(0).cumsum(0).flip(0)
    return torch.cat([above, above.new_zeros(1)]) / counts.sum().clamp_min(1)


def neighbour_loss(vectors: Tensor, labels: Tensor, scale: float) -> Tensor:
    """Return how unlikely the neighbours of each vector are of its identity, summed over N.

    A neighbour within the batch is chosen by a softmax over cosines; vectors without another of
    their identity there count as 0.

    Args:
        vectors: [N, D].
        labels: int64 [N].
        scale: of cosines.

    Source: Goldberger et al. 2005, neighbourhood components analysis, with cosines.
    """
    unit = F.normalize(vectors.float())
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    same = (labels[:, None] == labels[None]) & ~itself
    with_mate = same.any(1)
    logs = (scale * unit @ unit.T).masked_fill(itself, -torch.inf).log_softmax(1)
    of_mates = logs[with_mate].masked_fill(~same[with_mate], -torch.inf).logsumexp(1)
    return 0.0 * unit.sum() - of_mates.sum()  # a batch without mates has a derivative, too
