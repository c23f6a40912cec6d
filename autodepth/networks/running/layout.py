"""Memory layout of a network for convolutions."""

from __future__ import annotations

import torch
from torch import nn

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def for_convolutions(module: nn.Module) -> None:
    """Lay the weights of convolutions of images out channels last, in place.

    All else stays as it is: `Module.to(memory_format=...)` fails on five dimensions, and what a
    network does to other tensors of four may want them as they were made.
    """
    for layer in module.modules():
        for weight in layer.parameters() if isinstance(layer, _CONVOLUTIONS) else ():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
