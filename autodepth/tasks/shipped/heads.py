"""Heads that embeddings are trained with: a score for each identity of the training split.

Shapes: B batch, D dimension of a vector, K identities.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HeadKind: TypeAlias = Literal["arcface", "softmax"]
HEADS: tuple[HeadKind, ...] = get_args(HeadKind)

_NEVER_QUITE_ONE = 1 - 1e-6  # the derivative of an angle is infinite at 0


class SoftmaxHead(nn.Module):
    """A linear layer: vectors [B, D] to these and scores [B, K].

    Args:
        dimension: D.
        identities: K.
    """

    def __init__(self, dimension: int, identities: int) -> None:
        super().__init__()
        self.scores = nn.Linear(dimension, identities)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors and scores."""
        return vectors, self.scores(vectors)


class CosineHead(nn.Module):
    """A centre per identity: vectors [B, D] to these and cosines to each centre [B, K].

    Args:
        dimension: D.
        identities: K.
    """

    def __init__(self, dimension: int, identities: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(identities, dimension))

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors and cosines."""
        with torch.autocast(vectors.device.type, enabled=False):  # 8 bits are too few for an angle
            cosines = F.linear(F.normalize(vectors.float()), F.normalize(self.centres))
        return vectors, cosines


def arcface_scores(cosines: Tensor, labels: Tensor, *, margin: float, scale: float) -> Tensor:
    """Return scores [B, K] in which a vector is farther from its own centre, by an angle.

    Args:
        cosines: [B, K], to the centre of each identity.
        labels: int64 [B].
        margin: m in radians; where angle + m is beyond pi the cosine falls on in a line.
        scale: s that cosines are multiplied by.

    Source: Deng et al. 2019, arXiv 1801.07698.
    """
    own = cosines.gather(1, labels[:, None])
    angle = own.clamp(-_NEVER_QUITE_ONE, _NEVER_QUITE_ONE).acos()
    farther = torch.where(
        angle + margin < math.pi, (angle + margin).cos(), own - margin * math.sin(margin)
    )
    return scale * cosines.scatter(1, labels[:, None], farther)
