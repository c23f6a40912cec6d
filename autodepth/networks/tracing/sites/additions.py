"""Additions of two values, however they are written, brought into one spelling.

Afterwards every sum is `a + b` or `torch.add(a, b, alpha=...)`, in place or not, with the same
rounding as before. Sizes and constants are left alone.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from autodepth.networks.tracing.sites.data_flow import DataFlow

_SIGN = {
    **dict.fromkeys(("add", "add_", "iadd"), 1),
    **dict.fromkeys(("sub", "sub_", "isub", "subtract", "subtract_", "rsub"), -1),
}
_MOST = 3  # how many values a sum over a stack adds in order


def spell_additions(traced: fx.GraphModule) -> None:
    """Rewrite sums of two activations: arguments by name, differences, products added, stacks."""
    flow = DataFlow(traced)
    for node in list(traced.graph.nodes):
        if node.op not in {"call_function", "call_method"}:
            continue
        name = operation(node)
        if name in _SIGN:
            _spell(flow, node, name)
        elif name in {"addcmul", "addcmul_"}:
            _add_product(flow, node, in_place=name.endswith("_"))
        elif name in {"sum", "mean"}:
            _add_stacked(flow, node, name)


def operation(node: fx.Node) -> str:
    """Return what a call does, by name: `add` for torch.add, x.add, operator.add and aten's."""
    target: Any = node.target
    packet = getattr(target, "_overloadpacket", target)
    return str(getattr(packet, "__name__", packet)).rpartition(".")[2]


def stacked(node: fx.Node) -> list[Any]:
    """Return the values that a sum or mean over a stack of them adds; none of other nodes."""
    stack, dim = _given(node, "input", "dim")
    if not isinstance(stack, fx.Node) or operation(stack) != "stack" or len(stack.users) != 1:
        return []
    values, along = _given(stack, "tensors", "dim")
    other = set(node.kwargs) - {"input", "dim"}
    return list(values) if dim == (along or 0) and len(node.args) <= 2 and not other else []


def _spell(flow: DataFlow, node: fx.Node, name: str) -> None:
    first, second = _given(node, "input", "other")
    if first == 0 and type(first) is int and name == "add" and _is_activation(flow, second):
        node.replace_all_uses_with(second)  # how Python's sum begins
        return
    alpha: Any = node.kwargs.get("alpha", node.args[2] if len(node.args) > 2 else 1)
    if name == "rsub":
        first, second = second, first
    both = _is_activation(flow, first) and _is_activation(flow, second)
    if not both or isinstance(alpha, fx.Node) or "out" in node.kwargs:
        return
    overload = hasattr(node.target, "_overloadpacket") or node.target == torch.ops.aten.add
    if _SIGN[name] == 1 and len(node.args) == 2 and not overload:
        return
    _write(node, first, second, _SIGN[name] * alpha, in_place=name.endswith("_") or name == "isub")


def _add_product(flow: DataFlow, node: fx.Node, *, in_place: bool) -> None:
    first, one, other = _given(node, "input", "tensor1", "tensor2")
    value: Any = node.kwargs.get("value", 1)
    if not all(isinstance(part, fx.Node) for part in (first, one, other)):
        return
    if not (
        _is_activation(flow, first)
        and (flow.carries.get(one, True) or flow.carries.get(other, True))
    ):
        return
    with node.graph.inserting_before(node):
        if value != 1:
            one = _beside(node, operator.mul, one, value)
        product = _beside(node, operator.mul, one, other)
    _write(node, first, product, 1, in_place=in_place)


def _add_stacked(flow: DataFlow, node: fx.Node, name: str) -> None:
    values = stacked(node)
    if not 2 <= len(values) <= _MOST or not all(_is_activation(flow, v) for v in values):
        return
    with node.graph.inserting_before(node):
        total = values[0]
        for value in values[1:]:
            total = _beside(node, operator.add, total, value)
        if name == "mean":
            total = _beside(node, operator.truediv, total, len(values))
    node.replace_all_uses_with(total)


def _write(node: fx.Node, first: fx.Node, second: fx.Node, alpha: Any, *, in_place: bool) -> None:
    node.op = "call_method" if in_place else "call_function"
    node.target = "add_" if in_place else torch.add
    node.args = (first, second)
    node.kwargs = {} if alpha == 1 else {"alpha": alpha}


def _beside(node: fx.Node, function: Any, *args: Any) -> fx.Node:
    made = node.graph.call_function(function, args)
    made.meta = dict(node.meta)  # it belongs to the same module
    return made


def _given(node: fx.Node, *names: str) -> tuple[Any, ...]:
    """Return a call's first arguments, by place or by name."""
    by_place = dict(zip(names, node.args, strict=False))
    by_name = {"input" if key == "self" else key: value for key, value in node.kwargs.items()}
    given = by_name | by_place
    return tuple(given.get(name) for name in names)


def _is_activation(flow: DataFlow, value: object) -> bool:
    if not isinstance(value, fx.Node):
        return False
    return value not in flow.place or flow.is_activation(value)  # a sum written here is one
