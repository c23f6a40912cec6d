"""Nodes that do more than give a value, above all operators that change their input.

They are told by name where nothing has run yet, and kept away from what a removal lays bare.
`memory.py` sees by running which values change.
"""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn


def set_item(value: Any, key: Any, item: Any) -> Any:
    """Do `value[key] = item` and return the value, so that what follows can be told to read it."""
    value[key] = item
    return value


# `x += y` and its kin, and what gives the same value but leaves x alone.
_OPERATORS = {
    getattr(operator, f"i{name}"): getattr(operator, name)
    for name in ("add", "sub", "mul", "truediv", "floordiv", "pow", "mod", "matmul")
} | {operator.iand: operator.and_, operator.ior: operator.or_, operator.ixor: operator.xor}
_OF_TORCH = ("torch", "_operator", "builtins", "math")


def is_inplace(node: fx.Node) -> bool:
    """Whether a node says that it changes one of its inputs and returns it."""
    if node.op == "call_method":
        return _ends_in_place(str(node.target))
    return node.op == "call_function" and (
        node.target in _OPERATORS
        or node.target is set_item
        or "out" in node.kwargs
        or _ends_in_place(getattr(node.target, "__name__", ""))
        or _given(node, "inplace") is True
    )


def nodes_with_effect(graph: fx.Graph) -> set[str]:
    """Return the names of nodes that may do more than give a value."""
    return {
        node.name
        for node in graph.nodes
        if is_inplace(node)
        or (node.op == "call_module" and node.all_input_nodes)
        or (node.op == "call_function" and not _is_known(node.target))
    }


def drop_unread_nodes(graph: fx.Graph, keep: Collection[str]) -> None:
    """Drop nodes whose value nobody reads, but for those named."""
    graph.eliminate_dead_code(lambda n: n.name in keep or n.op in {"placeholder", "output"})


def name_mutations(graph: fx.Graph) -> None:
    """Let whatever reads `x` after `x.add_(y)` read the addition: the data flow then shows it."""
    place = {node: i for i, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        changed = node.kwargs.get("out", node.args[0] if node.args else None)
        if is_inplace(node) and isinstance(changed, fx.Node):
            for user in list(changed.users):
                if place[user] > place[node]:
                    user.replace_input_with(changed, node)


def leave_alone(traced: fx.GraphModule, node: fx.Node, changed: fx.Node) -> None:
    """Make a node give the same value without changing one that it reads.

    The modules of the network that was read stay as they are: a copy that does not work in place
    takes the place of one that does. What has no such form works in place on a copy.

    Args:
        traced: the network.
        node: what works in place.
        changed: the value that it changes.
    """
    if not _take_plain_form(traced, node, changed):
        with traced.graph.inserting_before(node):
            own = traced.graph.call_method("clone", (changed,))
        node.replace_input_with(changed, own)


def _take_plain_form(traced: fx.GraphModule, node: fx.Node, changed: fx.Node) -> bool:
    if node.op == "call_module":
        module = traced.get_submodule(str(node.target))
        if getattr(module, "inplace", False) is True and module.__module__.startswith("torch.nn."):
            _take_module(traced, node, module)
        return getattr(traced.get_submodule(str(node.target)), "inplace", None) is False
    if node.op == "call_method":
        plain = str(node.target).removesuffix("_")
        return changed is node.args[0] and _rename(node, getattr(torch.Tensor, plain, None), plain)
    if node.target in _OPERATORS:
        node.target = _OPERATORS[node.target]
        return True
    if node.kwargs.get("out") is changed:
        node.kwargs = {name: value for name, value in node.kwargs.items() if name != "out"}
        return True
    if _given(node, "inplace") is True:
        call = inspect.signature(node.target).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
        call.arguments["inplace"] = False
        node.args, node.kwargs = call.args, call.kwargs
        return True
    name = getattr(node.target, "__name__", "")
    plain = name.removesuffix("_")
    found = getattr(F, plain, getattr(torch, plain, None))
    return name != plain and _is_known(node.target) and _rename(node, found, found)


def _take_module(traced: fx.GraphModule, node: fx.Node, module: nn.Module) -> None:
    plain = copy.copy(module)
    plain.inplace = False  # type: ignore[assignment]
    owner_name, _, name = str(node.target).rpartition(".")
    owner = traced.get_submodule(owner_name)
    if type(owner) is nn.Module or owner is traced:  # made by torch.fx to hold its children
        setattr(owner, name, plain)


def _rename(node: fx.Node, exists: Any, target: Any) -> bool:
    if exists is not None and target is not None:
        node.target = target
        return True
    return False


def _ends_in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__") and name != "_"


def _is_known(function: Any) -> bool:
    """Whether torch's or Python's own; others may change what they are given."""
    return str(getattr(function, "__module__", None) or "torch").startswith(
        _OF_TORCH
    ) or isinstance(function, type)


def _given(node: fx.Node, argument: str) -> Any:
    """Return what a function was called with under a name, by keyword or place; None if not."""
    if argument in node.kwargs or not str(getattr(node.target, "__module__", "")).startswith(
        "torch"
    ):
        return node.kwargs.get(argument)
    try:
        call = inspect.signature(node.target).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # written in C, and such take no flag
        return None
    return call.arguments.get(argument)
