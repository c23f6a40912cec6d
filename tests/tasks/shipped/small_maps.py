"""A small network of maps: residual blocks at a quarter of the size, enlarged at the end."""

from torch import nn


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.f = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x):
        return nn.functional.relu(x + self.f(x))


class Maps(nn.Module):
    def __init__(self, num_classes, depth=4):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 24, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU()
        )
        self.blocks = nn.Sequential(*[Block(24) for _ in range(depth)])
        self.last = nn.Conv2d(24, num_classes, 1)

    def forward(self, images):
        return self.last(self.blocks(self.stem(images)))
