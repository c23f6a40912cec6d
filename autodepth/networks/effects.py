"""Nodes that do more than give a value, above all operators that change their input.

They are told by name, and kept away from what a removal lays bare.
"""

from __future__ import annotations

import operator
from collections.abc import Collection
from typing import Any

import torch
from torch import fx


def set_item(value: Any, key: Any, item: Any) -> Any:
    """Do `value[key] = item` and return the value, so that what follows can be told to read it."""
    value[key] = item
    return value


_INPLACE = frozenset({operator.iadd, operator.isub, operator.imul, operator.itruediv, set_item})


def is_inplace(node: fx.Node) -> bool:
    """Whether a node changes its first argument and returns it."""
    if node.op == "call_method":
        return str(node.target).endswith("_") and not str(node.target).endswith("__")
    return node.op == "call_function" and node.target in _INPLACE


def nodes_with_effect(graph: fx.Graph) -> set[str]:
    """Return the names of nodes that may do more than give a value."""
    return {
        node.name
        for node in graph.nodes
        if is_inplace(node) or (node.op == "call_module" and node.all_input_nodes)
    }


def drop_unread_nodes(graph: fx.Graph, keep: Collection[str]) -> None:
    """Drop nodes whose value nobody reads, but for those named."""
    graph.eliminate_dead_code(lambda n: n.name in keep or n.op in {"placeholder", "output"})


def name_mutations(graph: fx.Graph) -> None:
    """Let whatever reads `x` after `x.add_(y)` read the addition: the data flow then shows it."""
    place = {node: i for i, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        if is_inplace(node) and isinstance(node.args[0], fx.Node):
            for user in list(node.args[0].users):
                if place[user] > place[node]:
                    user.replace_input_with(node.args[0], node)


def free_from_mutation(traced: fx.GraphModule, addition: fx.Node, shortcut: fx.Node) -> None:
    """Make a residual addition, and what reads its sum, leave their inputs alone.

    `x.add_(f(x))` destroys what the gradient of f needs. And with the branch gone the sum is the
    shortcut itself, often the output of the activation before: a second activation in place on
    it would destroy what the first one's gradient needs.
    """
    if is_inplace(addition) and addition.args[0] is shortcut:
        addition.op, addition.target = "call_function", torch.add
    for user in addition.users:
        if user.op == "call_module":
            module = traced.get_submodule(str(user.target))
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]
        elif user.kwargs.get("inplace"):
            user.kwargs = {**user.kwargs, "inplace": False}
        elif user.op == "call_method" and is_inplace(user):
            user.target = str(user.target).rstrip("_")
