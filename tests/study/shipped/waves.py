"""A task on sequences: is a noisy wave slow, quick, or both?"""

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from autodepth.tasks.task import Metric, Task

PARTS = {"train": slice(0, 240), "validation": slice(240, 320), "test": slice(320, 400)}


class Waves(Task):
    metrics = {"right": Metric(unit="%")}
    outputs = 3

    def __init__(self):
        draws = torch.Generator().manual_seed(0)
        self.kinds = torch.arange(400) % 3
        at = torch.arange(96.0) + 96 * torch.rand(400, 1, generator=draws)
        slow, quick = (torch.sin(at * speed) for speed in (0.2, 0.9))
        wave = torch.stack([slow, quick, slow + quick])[self.kinds, torch.arange(400)]
        self.waves = (wave + torch.randn(400, 96, generator=draws) / 2)[:, None]

    def batches(self, split, *, batch_size, generator):
        part = PARTS[split]
        examples = TensorDataset(self.waves[part], self.kinds[part])
        return DataLoader(examples, batch_size, shuffle=generator is not None, generator=generator)

    def loss(self, outputs, targets):
        return functional.cross_entropy(outputs, targets)

    def measure(self, outputs, targets):
        return {"right": (outputs.argmax(1) == targets).float().mean()}


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(channels, channels, 5, padding=2), nn.BatchNorm1d(channels), nn.ReLU(),
            nn.Conv1d(channels, channels, 5, padding=2), nn.BatchNorm1d(channels),
        )  # fmt: skip

    def forward(self, x):
        return (x + self.body(x)).relu()


def resnet(num_classes, channels=8):
    blocks = (Block(channels) for _ in range(4))
    stem, pool = nn.Conv1d(1, channels, 7, stride=2, padding=3), nn.AdaptiveAvgPool1d(1)
    return nn.Sequential(stem, *blocks, pool, nn.Flatten(), nn.Linear(channels, num_classes))
