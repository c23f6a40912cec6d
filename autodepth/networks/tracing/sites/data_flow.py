"""Where images go in a graph, what they pass on the way, and what dominates what.

Parameters read directly (layer scale, position embeddings) and sizes are not made from images:
counted as inputs they would hide the dominators.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce

from torch import fx, nn

_SIZES = frozenset({"size", "dim", "numel", "shape", "ndim", "device", "dtype"})
Weights = tuple[int, int, int]
"""How many operations with weights, how many of them multiply, and how many mix channels."""


class DataFlow:
    """Where images go in a graph, what they pass on the way, and what dominates what."""

    def __init__(self, traced: fx.GraphModule) -> None:
        self.traced = traced
        self.place: dict[fx.Node, int] = {}
        self.carries: dict[fx.Node, bool] = {}
        """Whether a node's value is made from the images' content."""
        self.weights: dict[fx.Node, Weights] = {}
        self._made_from: dict[fx.Node, int] = {}  # places of all it is made from, as bits
        self._parent: dict[fx.Node, fx.Node] = {}
        self._depth: dict[fx.Node, int] = {}
        for place, node in enumerate(traced.graph.nodes):  # a topological order: one pass will do
            self.place[node] = place
            inputs = self.inputs(node)
            self.carries[node] = node.op == "placeholder" or (bool(inputs) and not is_size(node))
            self.weights[node] = self._weights_read(node)
            made_from = [] if is_size(node) else node.all_input_nodes
            self._made_from[node] = reduce(
                operator.or_, map(self._made_from.__getitem__, made_from), 1 << place
            )
            if self.carries[node]:
                self._find_dominator(node, inputs)

    def inputs(self, node: fx.Node) -> list[fx.Node]:
        """Return the inputs of a node that are made from the images' content."""
        return [i for i in node.all_input_nodes if self.carries[i]]

    def common(self, a: fx.Node, b: fx.Node) -> fx.Node:
        """Return the nearest node that dominates both; a node dominates itself."""
        while a is not b:
            if self._depth[a] >= self._depth[b]:
                a = self._parent[a]
            else:
                b = self._parent[b]
        return a

    def is_made_from(self, node: fx.Node, other: fx.Node) -> bool:
        """Whether a node's content comes from another's, or the nodes are one."""
        return bool(self._made_from[node] >> self.place[other] & 1)

    def is_activation(self, node: fx.Node) -> bool:
        """Whether a node is made from the images' content or from parameters, not from sizes."""
        return self.carries[node] or bool(self.weights[node][0])

    def between(self, fork: fx.Node, end: fx.Node) -> list[fx.Node]:
        """Return the nodes on paths from the fork (left out) to the end, in order."""
        found: set[fx.Node] = set()
        waiting = [end]
        while waiting:
            node = waiting.pop()
            if node is not fork and node not in found and self.is_made_from(node, fork):
                found.add(node)
                waiting.extend(node.all_input_nodes)
        return sorted(found, key=self.place.__getitem__)

    def distance(self, fork: fx.Node, path: Sequence[fx.Node]) -> Weights:
        """Return the weights on the lightest way from the fork to the end of a path."""
        least: dict[fx.Node, Weights] = {fork: (0, 0, 0)}
        for node in path:
            lightest = min(least[i] for i in node.all_input_nodes if i in least)
            operations, products, mixing = map(sum, zip(lightest, self.weights[node], strict=True))
            least[node] = (operations, products, mixing)
        return least[path[-1]] if path else (0, 0, 0)

    def needed_only_by(self, addition: fx.Node, operand: fx.Node) -> list[fx.Node]:
        """Return the nodes nobody needs once an addition does without an operand, in order."""
        if set(operand.users) != {addition}:
            return []
        needless = {operand}
        waiting = set(operand.all_input_nodes)
        while waiting:
            node = max(waiting, key=self.place.__getitem__)
            waiting.remove(node)
            if node.op != "placeholder" and needless.issuperset(node.users):
                needless.add(node)
                waiting.update(node.all_input_nodes)
        return sorted(needless, key=self.place.__getitem__)

    def _find_dominator(self, node: fx.Node, inputs: Sequence[fx.Node]) -> None:
        if not inputs:  # the images themselves
            self._depth[node] = 0
            return
        nearest = inputs[0]
        for other in inputs[1:]:
            nearest = self.common(nearest, other)
        self._parent[node] = nearest
        self._depth[node] = self._depth[nearest] + 1

    def _weights_read(self, node: fx.Node) -> Weights:
        if node.op not in {"call_module", "get_attr"}:
            read = [self.weights[i] for i in node.all_input_nodes if not self.carries[i]]
            return max(read, default=(0, 0, 0))
        parameters = parameters_read(self.traced, node)
        shapes = [p.shape for p in parameters if p.ndim > 1]
        # A depthwise convolution has one input channel per filter.
        return (bool(parameters), bool(shapes), any(shape[1] > 1 for shape in shapes))


def is_size(node: fx.Node) -> bool:
    """Whether a node asks for what a tensor is like, not for its content."""
    return node.target in _SIZES or (node.target is getattr and node.args[1] in _SIZES)


def parameters_read(module: nn.Module, node: fx.Node) -> list[nn.Parameter]:
    """Return the parameters that a node of a network's graph reads, its layer's or itself one."""
    if node.op == "call_module":
        return list(module.get_submodule(str(node.target)).parameters())
    value = attribute(module, str(node.target)) if node.op == "get_attr" else None
    return [value] if isinstance(value, nn.Parameter) else []


def attribute(module: nn.Module, name: str) -> object:
    """Return a parameter, buffer or submodule by its qualified name."""
    owner, _, last = name.rpartition(".")
    return getattr(module.get_submodule(owner), last)
