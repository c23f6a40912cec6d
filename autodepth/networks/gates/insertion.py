"""A gate in place of each residual addition, and the graph that calls it.

The branch becomes a graph of its own, so that a closed gate skips all of it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from autodepth.networks.gates.sample_mode import add_to_samples, split_samples
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.modes import ReadNetwork, modes_of

_RELUS = frozenset({F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_"})


class Gate:
    """One residual addition whose branch may be left out, for all samples or for some.

    `open` decides about the next calls; `samples` names those that the branch is computed on,
    None for all, and `alone` whether it is one of the whole batch, of which other processes may
    compute a part; `scale` multiplies the branch where it is computed, as a tensor [B] each sample
    by its own; `watch` is told both operands of the addition, the branch as it is added;
    `last` is what it returned last, where it `remembers`.

    Args:
        branch: the branch as a function of its inputs.
        add: the addition as a function of (shortcut, branch).
        alpha: what that addition itself multiplies the branch by.
        relu: whether the gate applies the ReLU after the addition, too.
    """

    # torch.fx writes calls by name; instances are told apart by the namespace it keeps.
    __name__ = "gate"

    def __init__(
        self,
        branch: Callable[..., Tensor],
        add: Callable[[Tensor, Tensor], Tensor],
        alpha: float = 1.0,
        *,
        relu: bool = False,
    ) -> None:
        self.branch = branch
        self._add = add
        self._alpha = alpha
        self._relu = relu
        self.per_sample: Sequence[bool] = ()  # which inputs hold one row per sample
        self.open = True
        self.samples: Tensor | None = None
        self.alone = False
        self.scale: float | Tensor = 1.0
        self.watch: Callable[[Tensor, Tensor], None] | None = None
        self.remembers = False
        self.last: Tensor | None = None

    def __call__(self, shortcut: Tensor, *inputs: Any) -> Tensor:
        """Return the addition, or the shortcut alone where the branch is dropped."""
        out = self._out(shortcut, inputs)
        if self.remembers:
            self.last = out
        return out

    def _out(self, shortcut: Tensor, inputs: Sequence[Any]) -> Tensor:
        if self.open and self.samples is not None:
            return self._add_survivors(shortcut, inputs, self.samples)
        out = self._add_all(shortcut, inputs) if self.open else shortcut
        return F.relu(out) if self._relu else out

    def _add_all(self, shortcut: Tensor, inputs: Sequence[Any]) -> Tensor:
        branch = _scaled(self.branch(*inputs), self.scale)
        if self.watch is not None:
            self.watch(shortcut, _scaled(branch, self._alpha))
        return self._add(shortcut, branch)

    def _add_survivors(self, shortcut: Tensor, inputs: Sequence[Any], samples: Tensor) -> Tensor:
        # A neighbour joins: one sample may have no statistics.
        alone = self.alone and len(samples) == 1
        computed = torch.cat((samples, (samples + 1) % len(shortcut))) if alone else samples
        parts = list(inputs)
        for i, value in enumerate(inputs):
            if self.per_sample[i]:
                passed_on = value is shortcut
                whole, parts[i] = split_samples(
                    value, computed, own_gradient=self._relu or not passed_on
                )
                shortcut = whole if passed_on else shortcut
        out = self.branch(*parts)
        out = _scaled(out[:1] if alone else out, self.scale * self._alpha)
        return add_to_samples(shortcut, out, samples, relu=self._relu)


def insert_gates(
    network: ResidualNetwork, *, take_relu: bool = False
) -> tuple[fx.GraphModule, list[Gate]]:
    """Return the network's graph with a gate for each branch, and the gates in order.

    The graph runs on the very modules of the network, under the same names.

    Args:
        network: the network to gate.
        take_relu: whether a ReLU that alone reads an addition becomes part of its gate.
    """
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
        add = _addition(addition, branch_first=addition.args[0] is nodes[site.branch])
        alpha: Any = addition.kwargs.get("alpha", 1)
        relu = _relu_after(network.module, addition) if take_relu else None
        gate = Gate(branch, add, alpha, relu=relu is not None)
        with graph.inserting_before(addition):
            call = graph.call_function(gate, (nodes[site.shortcut], *inputs))
        replaced = [addition] if relu is None else [relu, addition]
        replaced[0].replace_all_uses_with(call)
        # It may be the shortcut of the next block.
        nodes |= {name: call for name, node in nodes.items() if node in replaced}
        for node in [*replaced, *reversed(branch_nodes)]:
            graph.erase_node(node)
        gates.append(gate)
    return _graph_over(network.module, graph, "Gated"), gates


def _relu_after(module: nn.Module, addition: fx.Node) -> fx.Node | None:
    """Return the ReLU that alone reads an addition, if there is one."""
    if len(addition.users) != 1:
        return None
    (reader,) = addition.users
    if reader.op == "call_module":
        found = type(module.get_submodule(str(reader.target))) is nn.ReLU
    else:
        found = reader.target in _RELUS
    return reader if found else None


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
    return _graph_over(module, graph, "Branch"), inputs


def _graph_over(module: nn.Module, graph: fx.Graph, name: str) -> fx.GraphModule:
    """Return a graph that shares the whole tree of a module, not only what it calls.

    A GraphModule copies the path to each submodule it calls. Sharing makes `parameters()`, modes,
    moves to a device and the keys of the state dict those of the module.
    """
    result = ReadNetwork(module, graph, class_name=name)
    result.meta |= modes_of(module)
    for tree in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
        vars(result)[tree] = vars(module)[tree]
    return result


def _addition(node: fx.Node, *, branch_first: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the node's own addition as a function of (shortcut, branch), operands in its order."""
    target: Any = getattr(Tensor, node.target) if isinstance(node.target, str) else node.target
    kwargs = dict(node.kwargs)
    if target is operator.iadd and not branch_first:
        target = operator.add  # the shortcut may be needed by others; a sum of its own is safe
    if branch_first:
        return lambda shortcut, branch: target(branch, shortcut, **kwargs)
    return lambda shortcut, branch: target(shortcut, branch, **kwargs)


def _scaled(branch: Tensor, scale: float | Tensor) -> Tensor:
    if isinstance(scale, Tensor):  # one per sample
        return branch * scale.view(-1, *[1] * (branch.ndim - 1))
    return branch if scale == 1.0 else branch * scale
