"""Who changes whose value: seen by running the graph, so that every spelling is seen.

`x.relu_()`, `F.relu(x, True)`, `x[:, 0] = 0`, `torch.add(x, y, out=x)` and a module with
`inplace=True` all raise the version that torch counts for the memory of x. What reads x after
such a change is made to read the node that changed it: the data flow then shows the change, and a
ReLU in place before the branch is part of the shortcut, as it is where the network runs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from autodepth.networks.tracing.inplace_ops import leave_alone


def after(value: Any, change: Any) -> Any:  # noqa: ARG001 - read so that the change comes first
    """Return a value that shares memory with one that was changed."""
    return value


@dataclass(frozen=True)
class Change:
    """A node that changes what others read.

    Args:
        node: it.
        memory: the node that made the memory it changes.
    """

    node: fx.Node
    memory: fx.Node


class Memory(fx.Interpreter):
    """One run of a graph that notes which nodes share memory, and which change it.

    Args:
        traced: the network, in the mode to be looked at; its buffers move.
        images: [B, C, H, W].
    """

    def __init__(self, traced: fx.GraphModule, images: Tensor) -> None:
        super().__init__(traced)
        self.extra_traceback = False
        self.changes: list[Change] = []
        self.of: dict[fx.Node, set[fx.Node]] = {}
        """The nodes that made the memory of each node's tensors."""
        self.place: dict[fx.Node, tuple[Any, ...]] = {}
        """Which part of which memory a node's one tensor is."""
        self._maker: dict[int, fx.Node] = {}
        with torch.no_grad():
            self.run(images)

    def run_node(self, n: fx.Node) -> Any:
        """Run a node and look at what it did."""
        read = {i: _tensors(self.env[i]) for i in n.all_input_nodes}
        before = {id(t): t._version for tensors in read.values() for t in tensors}  # noqa: SLF001
        value = super().run_node(n)
        given = {_storage(t) for tensors in read.values() for t in tensors}
        for tensor in (tensors := _tensors(value)):
            if _storage(tensor) not in given:  # memory of its own, whatever was there before
                self._maker[_storage(tensor)] = n
        self.of[n] = {self._maker[_storage(t)] for t in tensors}
        if len(tensors) == 1 and isinstance(value, Tensor):
            self.place[n] = (_storage(value), value.storage_offset(), value.shape, value.stride())
        changed = [
            self._maker[_storage(t)]
            for tensors in read.values()
            for t in tensors
            if t._version != before[id(t)]  # noqa: SLF001
        ]
        self.changes += [Change(n, memory) for memory in dict.fromkeys(changed)]
        return value

    def are_one(self, one: fx.Node, other: fx.Node) -> bool:
        """Whether two nodes give the very same values of the same memory."""
        return one in self.place and self.place[one] == self.place.get(other)

    def leave_alone(self, traced: fx.GraphModule, change: Change) -> None:
        """Make a node leave alone what it changed."""
        for read in change.node.all_input_nodes:
            if change.memory in self.of.get(read, ()):
                leave_alone(traced, change.node, read)
        self.changes.remove(change)


def name_changes(traced: fx.GraphModule, memory: Memory) -> list[set[str]]:
    """Let whatever reads a value after it was changed read the node that changed it.

    A node that changes what others read, too, is made to leave that alone.

    Returns:
        Nodes that share memory which one of them changes in part, by group.
    """
    order = {node: i for i, node in enumerate(traced.graph.nodes)}
    groups: list[set[str]] = []
    for change in list(memory.changes):
        node = change.node
        sharing = [n for n in order if change.memory in memory.of[n] and order[n] < order[node]]
        later = {n: [u for u in n.users if order.get(u, 0) > order[node]] for n in sharing}
        parts = [n for n in sharing if later[n] and not memory.are_one(n, node)]
        for other in sharing:
            with traced.graph.inserting_after(node):
                heir = traced.graph.call_function(after, (other, node)) if other in parts else node
            for reader in later[other]:
                reader.replace_input_with(other, heir)
        if parts:
            groups.append({n.name for n in (*sharing, node)})
        elif "out" in node.kwargs or (  # nothing trains with that
            change.memory.op != "get_attr"
            and any(_is_read_elsewhere(n) for n in node.all_input_nodes if n in sharing)
        ):
            memory.leave_alone(traced, change)
    return groups


def leave_sums_alone(traced: fx.GraphModule, memory: Memory, sums: Sequence[fx.Node]) -> None:
    """Let nobody change a sum in place: with its branch gone it is the shortcut, read by others."""
    order = {node: i for i, node in enumerate(traced.graph.nodes)}
    for change in list(memory.changes):
        if any(
            change.memory in memory.of[total] and order[total] < order[change.node]
            for total in sums
        ):
            memory.leave_alone(traced, change)


def across(groups: Sequence[set[str]], branch: Collection[str], addition: str) -> bool:
    """Whether leaving a branch out would leave out a change that others see, or miss one."""
    inside = {*branch, addition}
    return any(group & inside and group - inside for group in groups)


def _is_read_elsewhere(node: fx.Node) -> bool:
    return len(node.users) > 1 or node.op == "placeholder"


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if type(leaf) in {Tensor, nn.Parameter}]


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 - the same for all views
