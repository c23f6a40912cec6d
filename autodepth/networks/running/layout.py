"""How the convolutions of a network lie in memory, and compute, when it is trained."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
_FEWEST = 8  # channels that oneDNN's kernels for AVX2 read at a time


def for_convolutions(module: nn.Module) -> None:
    """Lay the weights of convolutions of images out channels last, in place.

    All else stays as it is: `Module.to(memory_format=...)` fails on five dimensions, and what a
    network does to other tensors of four may want them as they were made.
    """
    for layer in module.modules():
        for weight in layer.parameters() if isinstance(layer, _CONVOLUTIONS) else ():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        if type(layer) is nn.Conv2d and _corrupts_memory(layer):
            layer.__class__ = SubsampledFirst


def laid_out(inputs: Tensor) -> Tensor:
    """Return images [B, C, H, W] in the layout of those weights, other inputs as they are."""
    if inputs.ndim == 4:
        return inputs.contiguous(memory_format=torch.channels_last)
    return inputs


class SubsampledFirst(nn.Conv2d):
    """A 1x1 convolution that takes the pixels of its stride first, and then has no stride.

    In place of one of few channels, whose backward pass writes beyond its tensors channels last
    on processors with AVX2 and no AVX-512 (oneDNN in torch 2.13): the process dies, or worse.
    """

    def _conv_forward(
        self,
        input: Tensor,  # noqa: A002 - torch's name
        weight: Tensor,
        bias: Tensor | None,
    ) -> Tensor:
        down, right = self.stride
        return F.conv2d(input[..., ::down, ::right], weight, bias, groups=self.groups)


def _corrupts_memory(layer: nn.Conv2d) -> bool:
    one_pixel = layer.kernel_size == (1, 1) and layer.padding in {(0, 0), "valid"}
    return (
        one_pixel
        and max(layer.stride) > 1
        and layer.in_channels // layer.groups < _FEWEST
        and layer.weight.device.type == "cpu"
        and torch.backends.cpu.get_cpu_capability() == "AVX2"
    )
