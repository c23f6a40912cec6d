"""Code of a network as a person writes it into a file of their own."""

_CODE = """{first}
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.f = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))

    def forward(self, x):
        return x.relu() + self.f(x)


class Net(nn.Module):
    def __init__(self, width={width}, depth={depth}, num_classes={classes}):
        super().__init__()
        {inside}
        self.stem = nn.Conv2d({channels}, width, 3, padding=1, stride={stride})
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.head({pooled}(self.blocks(self.stem(x))))

    def mean(self, x):
        return x.mean((2, 3))
"""


def net_code(
    *, first="", inside="", width="4", depth=2, classes=10, channels=1, stride=1, pooled="self.mean"
):
    """Return the code of `Net`, a residual network of a few blocks.

    Args:
        first: lines before all others, such as an import of a neighbour.
        inside: a line of its constructor.
        width: channels of its stream, as code.
        depth: number of blocks.
        classes: size of its output.
        channels: of the images.
        stride: of its first layer.
        pooled: what is called on the last features, as code.
    """
    return _CODE.format(
        first=first, inside=inside, width=width, depth=depth, classes=classes,
        channels=channels, stride=stride, pooled=pooled,
    )  # fmt: skip
