"""The residual networks of He et al. 2016 for 32x32 images: 6n+2 layers, three stages.

Module names follow the layout common to public checkpoints (`layer1.0.conv1.weight`,
`linear.weight`), so those load as they are. Shapes: B batch, C channels, H height, W width.
Source: He et al., "Deep residual learning for image recognition", section 4.2.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autodepth.errors import NetworkError

ShortcutOption = Literal["A", "B"]
STAGE_WIDTHS = (16, 32, 64)


class SubsampleAndPad(nn.Module):
    """Option A: every second pixel, new channels filled with zeros on both sides; no weights."""

    def __init__(self, new_channels: int) -> None:
        super().__init__()
        self.padding = (0, 0, 0, 0, new_channels // 2, new_channels - new_channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, C + new_channels, ceil(H/2), ceil(W/2)]."""
        return F.pad(x[:, :, ::2, ::2], self.padding)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, activation after the addition."""

    def __init__(
        self, in_channels: int, channels: int, stride: int, option: ShortcutOption
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = _shortcut(in_channels, channels, stride, option)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, channels, H/stride, W/stride]."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out = out + self.shortcut(x)
        return F.relu(out)


class CifarResNet(nn.Module):
    """A 6n+2 layer residual network: a 3x3 stem, three stages of n blocks, average pool, linear.

    Args:
        depth: number of weighted layers, 6n+2 with n >= 1.
        classes: size of the output.
        channels: colour channels of the input (1 grey, 3 colour).
        shortcut: `A` (no weights, as on CIFAR-10 in the paper) or `B` (1x1 convolution).
    """

    def __init__(
        self, depth: int, *, classes: int = 10, channels: int = 3, shortcut: ShortcutOption = "A"
    ) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise NetworkError(
                f"a CIFAR ResNet has 6n+2 layers (20, 32, 44, 56, 110, ..., 1202), but got {depth}"
            )
        blocks = (depth - 2) // 6
        first, second, third = STAGE_WIDTHS
        self.conv1 = nn.Conv2d(channels, first, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.layer1 = _stage(first, first, blocks, stride=1, option=shortcut)
        self.layer2 = _stage(first, second, blocks, stride=2, option=shortcut)
        self.layer3 = _stage(second, third, blocks, stride=2, option=shortcut)
        self.linear = nn.Linear(third, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map images [B, C, H, W] to class scores [B, classes]; H and W at least 4."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        out = F.adaptive_avg_pool2d(out, 1)
        return self.linear(torch.flatten(out, 1))  # type: ignore[no-any-return]


def _shortcut(in_channels: int, channels: int, stride: int, option: ShortcutOption) -> nn.Module:
    if stride == 1 and in_channels == channels:
        return nn.Identity()
    if option == "A":
        return SubsampleAndPad(channels - in_channels)
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
    )


def _stage(
    in_channels: int, channels: int, blocks: int, *, stride: int, option: ShortcutOption
) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride, option)
    rest = (BasicBlock(channels, channels, 1, option) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
