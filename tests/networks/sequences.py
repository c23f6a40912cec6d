"""Residual networks of sequences, as a person writes them."""

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv1d(channels, channels, 5, padding=2)
        self.norm1 = nn.BatchNorm1d(channels)
        self.conv2 = nn.Conv1d(channels, channels, 5, padding=2)
        self.norm2 = nn.BatchNorm1d(channels)

    def forward(self, x):
        inner = self.norm1(self.conv1(x)).relu()
        return (x + self.norm2(self.conv2(inner))).relu()


class Sequences(nn.Module):
    """Maps sequences [B, 1, T] to scores [B, num_classes]."""

    def __init__(self, num_classes=3, channels=8):
        super().__init__()
        self.stem = nn.Conv1d(1, channels, 7, stride=2, padding=3)
        self.blocks = nn.Sequential(*(Block(channels) for _ in range(3)))
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean(2))


class Named(Sequences):
    """Gives several outputs by name."""

    def forward(self, x):
        features = self.blocks(self.stem(x)).mean(2)
        return {"scores": self.head(features), "features": features}


class WithAge(nn.Module):
    """Two inputs in one: a sequence of 64 and two numbers beside it, [B, 1, 66]."""

    def __init__(self, num_classes=3):
        super().__init__()
        self.sequences = Sequences(8)
        self.head = nn.Linear(10, num_classes)

    def forward(self, packed):
        signal, numbers = packed.split([64, 2], 2)
        features = self.sequences(signal)
        return self.head(torch.cat([features, numbers.flatten(1)], 1))
