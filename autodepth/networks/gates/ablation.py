"""The scores a network gives without each of its branches, for about half of the naive price.

Leaving out branch l changes nothing before it. So one walk through the network computes what lies
before each gate once, and from there the rest of the network runs without that branch: L suffixes
of decreasing length in place of L whole passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn

from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.gates.insertion import Gate

WHOLE = 0
"""Stands for the network with all its branches, where a branch number is expected."""


@torch.inference_mode()
def scores_without_each(gated: GatedNetwork, images: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield the class scores without each removable branch, in order, then those of the whole.

    Args:
        gated: a network in evaluation mode, every gate open.
        images: [B, C, H, W] on its device.

    Yields:
        (branch number, scores [B, classes]); `WHOLE` for the network as it is.
    """
    numbers = {gate: number for number, gate in gated.removable_gates().items()}
    nodes = list(gated.module.graph.nodes)
    walk, rest = _Walk(gated.module), _Walk(gated.module)
    walk.args_iter = iter([images])
    for place, node in enumerate(nodes):
        gate = node.target
        if isinstance(gate, Gate) and gate in numbers:
            gate.open = False
            rest.env = _copied(walk.env)
            yield numbers[gate], rest.through(nodes[place:])
            gate.open = True
        scores = walk.through([node])
    yield WHOLE, scores


class _Walk(fx.Interpreter):
    """Runs a graph in pieces and keeps only the values that are still needed."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.extra_traceback = False

    def through(self, nodes: Iterable[fx.Node]) -> Any:
        """Run some nodes from where the last ones led; return what the last one gives."""
        value = None
        for node in nodes:
            value = self.env[node] = self.run_node(node)
            for unneeded in self.user_to_last_uses.get(node, ()):
                del self.env[unneeded]
        return value


def _copied(env: dict[fx.Node, Any]) -> dict[fx.Node, Any]:
    """Return values that an operator in place may overwrite without harm to the others."""
    return {
        node: value.clone()
        if isinstance(value, Tensor) and not isinstance(value, nn.Parameter)
        else value
        for node, value in env.items()
    }
