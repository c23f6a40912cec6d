"""Stochastic depth that really skips: a dropped branch is not computed and leaves no gradient.

One Bernoulli draw per branch and training step, made on the host from a generator passed in, so
that no device has to be asked whether to go on. For a step with gates b_1..b_L a block computes
``H_l = b_l f_l(H_{l-1}) + shortcut(H_{l-1})`` (Huang et al. 2016, equation 2; the activation
after the addition is part of the network). In evaluation every branch runs, scaled by p_l
(equation 5).

A dropped branch has no gradient in that step (None, not zero): the optimizer leaves its
parameters, momentum and weight decay alone, and its batch-norm statistics do not move.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from autodepth.networks.residual_network import ResidualNetwork


class Gate:
    """One residual addition whose branch may be left out.

    `open` decides about the next calls, `scale` multiplies the branch where it is computed.
    """

    # torch.fx writes calls by name; instances are told apart by the namespace it keeps.
    __name__ = "gate"

    def __init__(self, branch: fx.GraphModule, add: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.branch = branch
        self._add = add
        self.open = True
        self.scale = 1.0

    def __call__(self, shortcut: Tensor, *inputs: Tensor) -> Tensor:
        """Return the addition, or the shortcut alone while the gate is closed."""
        if not self.open:
            return shortcut
        out = self.branch(*inputs)
        return self._add(shortcut, out if self.scale == 1.0 else out * self.scale)


class GatedNetwork:
    """A residual network whose branches can be switched without changing it.

    It shares every module and parameter with the network it was made from.

    Args:
        network: the network to gate.
    """

    def __init__(self, network: ResidualNetwork) -> None:
        self.module, gates = _insert_gates(network)
        # Branches are graphs of their own, which the outer graph does not list as its modules.
        self._modules = (self.module, *(gate.branch for gate in gates))
        self._gates = dict(zip((b.index for b, _ in network.kept()), gates, strict=True))

    def __call__(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to class scores [B, classes] through the open gates."""
        return self.module(images)  # type: ignore[no-any-return]

    def train(self) -> None:
        """Put every module into training mode."""
        for module in self._modules:
            module.train()

    def eval(self) -> None:
        """Put every module into evaluation mode."""
        for module in self._modules:
            module.eval()

    def draw(self, survival: Sequence[float], generator: torch.Generator) -> int:
        """Open each gate with its survival probability for the next training step.

        Args:
            survival: p_l of each branch that is there, in order.
            generator: CPU generator; one number is taken per branch, whatever the outcome.

        Returns:
            How many branches the step will compute.
        """
        draws = torch.rand(len(self._gates), generator=generator).tolist()
        for gate, chance, draw in zip(self._gates.values(), survival, draws, strict=True):
            gate.open = draw < chance
            gate.scale = 1.0
        return sum(gate.open for gate in self._gates.values())

    def open_all(self, scales: Sequence[float] | None = None) -> None:
        """Compute every branch, scaled by p_l where given: the test-time rule."""
        for gate, scale in zip(
            self._gates.values(), scales or [1.0] * len(self._gates), strict=True
        ):
            gate.open = True
            gate.scale = scale

    def bypass(self, index: int) -> None:
        """Compute every branch but one, unscaled."""
        self.open_all()
        self._gates[index].open = False


def _insert_gates(network: ResidualNetwork) -> tuple[fx.GraphModule, list[Gate]]:
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    output = graph.graph_copy(network.module.graph, copies)
    graph.output(output)
    nodes = {node.name: copies[node] for node in network.module.graph.nodes if node in copies}
    gates = []
    for _, site in network.kept():
        addition = nodes[site.addition]
        branch_nodes = [nodes[name] for name in site.branch_nodes]
        branch, inputs = _cut_out(network.module, branch_nodes)
        gate = Gate(branch, _addition(addition, branch_first=addition.args[0] is branch_nodes[-1]))
        with graph.inserting_before(addition):
            call = graph.call_function(gate, (nodes[site.shortcut], *inputs))
        addition.replace_all_uses_with(call)
        nodes[site.addition] = call  # the shortcut of the next block, if nothing lies between
        for node in [addition, *reversed(branch_nodes)]:
            graph.erase_node(node)
        gates.append(gate)
    return fx.GraphModule(network.module, graph, class_name="Gated"), gates


def _cut_out(
    module: nn.Module, branch_nodes: Sequence[fx.Node]
) -> tuple[fx.GraphModule, list[fx.Node]]:
    """Return the branch as a graph of its own over the same submodules, and what it reads."""
    inside = set(branch_nodes)
    inputs = list(
        dict.fromkeys(i for n in branch_nodes for i in n.all_input_nodes if i not in inside)
    )
    graph = fx.Graph()
    copies = {node: graph.placeholder(node.name) for node in inputs}
    for node in branch_nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[branch_nodes[-1]])
    return fx.GraphModule(module, graph, class_name="Branch"), inputs


def _addition(node: fx.Node, *, branch_first: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the node's own addition as a function of (shortcut, branch), operands in its order."""
    target: Any = getattr(Tensor, node.target) if isinstance(node.target, str) else node.target
    kwargs = dict(node.kwargs)
    if target is operator.iadd and not branch_first:
        target = operator.add  # the shortcut may be needed by others; a sum of its own is safe
    if branch_first:
        return lambda shortcut, branch: target(branch, shortcut, **kwargs)
    return lambda shortcut, branch: target(shortcut, branch, **kwargs)
