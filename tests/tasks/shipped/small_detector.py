"""A small detector of one stage: FCOS of torchvision's over four residual blocks."""

from collections import OrderedDict

from torch import nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator


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


class Backbone(nn.Module):
    out_channels = 32

    def __init__(self, depth):
        super().__init__()
        layers = []
        for before, after in ((3, 16), (16, 32), (32, 32)):
            down = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
            layers += [down, nn.BatchNorm2d(after), nn.ReLU()]
            layers += [Block(after) for _ in range(depth)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images):
        return OrderedDict([("0", self.layers(images))])


def build(num_classes, depth=2):
    """Return the detector: one map, a cell of which is 8 pixels wide."""
    anchors = AnchorGenerator(((16,),), ((1.0,),))
    return FCOS(Backbone(depth), num_classes, anchor_generator=anchors)
