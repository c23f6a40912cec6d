"""The last layer's first weights, where it is known what numbers a network is to give."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn


def last_linear(module: fx.GraphModule) -> nn.Linear | None:
    """Return the linear layer with a bias whose outputs are the network's; None where none is."""
    output = next(node for node in module.graph.nodes if node.op == "output")
    (last,) = output.args
    if not isinstance(last, fx.Node) or last.op != "call_module":
        return None
    layer = module.get_submodule(str(last.target))
    return layer if isinstance(layer, nn.Linear) and layer.bias is not None else None


@torch.no_grad()
def begin_at(layer: nn.Linear, mean: Tensor, deviation: Tensor) -> None:
    """Move fresh weights so that a layer gives about the mean, and as far from it as a deviation.

    Args:
        layer: whose outputs are as they were initialised, about 0 and of a size of 1.
        mean: of what it is to give, one number per output.
        deviation: standard deviations of the same.
    """
    mean, deviation = mean.to(layer.weight), deviation.to(layer.weight)
    layer.weight.mul_(deviation.unsqueeze(1))
    layer.bias.mul_(deviation).add_(mean)
