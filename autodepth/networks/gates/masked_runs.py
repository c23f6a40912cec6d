"""The outputs a network gives without some of its branches, or with narrower ones, many at once.

What becomes of branch l changes nothing before it. So what choices of branches have in common is
computed once: one walk through the network parts at each gate that some leave as it is and others
do not. For L sets of one branch each these are L suffixes of decreasing length in place of L whole
passes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx, nn

from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.gates.insertion import Gate

Mask: TypeAlias = frozenset[int]
"""Numbers of the branches that are left out."""
WHOLE: Mask = frozenset()
Widths: TypeAlias = frozenset[tuple[int, float]]
"""Numbers of the branches that are not whole, each with the share of its channels; 0 is none."""
Narrow: TypeAlias = Mapping[tuple[int, float], Callable[..., Tensor]]
"""What takes the place of a branch that is narrower, by number and share."""


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
    left_out = [frozenset((number, 0.0) for number in mask) for mask in masks]
    for widths, outputs in outputs_with(gated, images, left_out, {}):
        yield frozenset(number for number, _ in widths), outputs


@torch.inference_mode()
def outputs_with(
    gated: GatedNetwork, images: Tensor, choices: Iterable[Widths], narrow: Narrow
) -> Iterator[tuple[Widths, Tensor]]:
    """Yield the outputs with each of some choices of widths, as of `outputs_without`.

    Args:
        gated: as of `outputs_without`.
        images: likewise.
        choices: removable branches that are left out or narrower; equal ones count once.
        narrow: branches of each share between 0 and 1 that a choice names.
    """
    run = _Run(gated, narrow)
    walk = _Walk(gated.module)
    walk.args_iter = iter([images])
    yield from run.on(walk, 0, list(dict.fromkeys(choices)))


class _Run:
    """Goes through a gated graph for choices of branches that are alike so far."""

    def __init__(self, gated: GatedNetwork, narrow: Narrow) -> None:
        self._module, self._narrow = gated.module, narrow
        self._nodes = list(gated.module.graph.nodes)
        self._numbers = {gate: number for number, gate in gated.removable_gates().items()}

    def on(self, walk: _Walk, place: int, choices: list[Widths]) -> Iterator[tuple[Widths, Tensor]]:
        outputs = None
        for at in range(place, len(self._nodes)):
            node = self._nodes[at]
            by_width = self._by_width(node, choices)
            *others, (width, choices) = by_width.items()
            for other_width, alike in others:
                other = _Walk(self._module)
                other.env = _copied(walk.env)
                self._through(other, node, other_width)
                yield from self.on(other, at + 1, alike)
            outputs = self._through(walk, node, width)
        assert outputs is not None
        yield from ((choice, outputs) for choice in choices)

    def _by_width(self, node: fx.Node, choices: list[Widths]) -> dict[float, list[Widths]]:
        """Return choices by the width that they give to a node's branch, the whole one last."""
        gate = node.target
        number = self._numbers.get(gate) if isinstance(gate, Gate) else None
        if number is None:
            return {1.0: choices}
        found: dict[float, list[Widths]] = {}
        for choice in choices:
            width = next((width for branch, width in choice if branch == number), 1.0)
            found.setdefault(width, []).append(choice)
        return dict(sorted(found.items()))

    def _through(self, walk: _Walk, node: fx.Node, width: float) -> Any:
        gate = node.target
        if not isinstance(gate, Gate) or width in {0.0, 1.0}:
            return walk.through([node], gate_open=width > 0)
        branch, gate.branch = gate.branch, self._narrow[self._numbers[gate], width]
        try:
            return walk.through([node])
        finally:
            gate.branch = branch


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
