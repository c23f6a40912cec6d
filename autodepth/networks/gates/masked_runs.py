"""The outputs a network gives without some of its branches, for many such sets at once.

Leaving out branch l changes nothing before it. So what sets of branches have in common is computed
once: one walk through the network parts at each gate that some leave out and others do not. For L
sets of one branch each these are L suffixes of decreasing length in place of L whole passes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx, nn

from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.gates.insertion import Gate

Mask: TypeAlias = frozenset[int]
"""Numbers of the branches that are left out."""
WHOLE: Mask = frozenset()


@torch.inference_mode()
def outputs_without(
    gated: GatedNetwork, images: Tensor, masks: Iterable[Collection[int]]
) -> Iterator[tuple[Mask, Tensor]]:
    """Yield the outputs without each of some sets of branches, the one parting first first.

    A network whose batch norms are to take the statistics of each smaller network anew is run
    inside `batch_statistics`.

    Args:
        gated: a network in evaluation mode, every gate open; they are open again afterwards.
        images: [B, C, H, W] on its device.
        masks: numbers of removable branches to leave out; equal ones count once.

    Yields:
        (what is left out, class scores [B, classes]).
    """
    run = _Run(gated)
    walk = _Walk(gated.module)
    walk.args_iter = iter([images])
    yield from run.on(walk, 0, list(dict.fromkeys(frozenset(mask) for mask in masks)))


class _Run:
    """Goes through a gated graph for sets of branches that are alike so far."""

    def __init__(self, gated: GatedNetwork) -> None:
        self._module = gated.module
        self._nodes = list(gated.module.graph.nodes)
        self._numbers = {gate: number for number, gate in gated.removable_gates().items()}

    def on(self, walk: _Walk, place: int, masks: list[Mask]) -> Iterator[tuple[Mask, Tensor]]:
        outputs = None
        for at in range(place, len(self._nodes)):
            node = self._nodes[at]
            number = self._number(node)
            without = [mask for mask in masks if number in mask]
            if without and len(without) < len(masks):
                other = _Walk(self._module)
                other.env = _copied(walk.env)
                other.through([node], gate_open=False)
                yield from self.on(other, at + 1, without)
                masks = [mask for mask in masks if number not in mask]
                without = []
            outputs = walk.through([node], gate_open=not without)
        assert outputs is not None
        yield from ((mask, outputs) for mask in masks)

    def _number(self, node: fx.Node) -> int | None:
        return self._numbers.get(node.target) if isinstance(node.target, Gate) else None


class _Walk(fx.Interpreter):
    """Runs a graph in pieces and keeps only the values that are still needed."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.extra_traceback = False

    def through(self, nodes: Iterable[fx.Node], *, gate_open: bool = True) -> Any:
        """Run some nodes from where the last ones led; return what the last one gives."""
        value = None
        for node in nodes:
            gate = node.target
            if isinstance(gate, Gate):
                gate.open = gate_open
            value = self.env[node] = self.run_node(node)
            if isinstance(gate, Gate):
                gate.open = True
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
