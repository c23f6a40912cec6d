"""One graph that serves training and evaluation alike.

A trace records one run, and with it what `self.training` was. So a network is traced in both
modes and the graphs are laid over each other. Where they differ in a constant alone (the flag of
a dropout), a `ByMode` module supplies it. A submodule that does different things in the two modes
is kept whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import accumulate
from typing import Any

from torch import Tensor, fx, nn

from autodepth.errors import NetworkError
from autodepth.networks.effects import drop_unread_nodes, nodes_with_effect
from autodepth.networks.left_as_it_was import left_as_it_was
from autodepth.networks.tracer import CANNOT_TRACE, Call, SymbolicTracer, told

InputShape = tuple[int, int, int]
ADVICE = (
    "move control flow that depends on tensor values, or on the training flag, into a function "
    "marked with torch.fx.wrap or into a submodule outside the residual branches"
)


class ByMode(nn.Module):
    """A constant that depends on the mode; it has no weights.

    Args:
        training: the value in training.
        evaluation: the value in evaluation.
    """

    def __init__(self, training: Any, evaluation: Any) -> None:
        super().__init__()
        self.values = (evaluation, training)

    def forward(self) -> Any:
        """Return the value of the present mode."""
        return self.values[self.training]


def trace_both_modes(
    module: nn.Module, input_shape: InputShape | None
) -> tuple[fx.GraphModule, dict[str, str]]:
    """Return a network's graph for both modes, and why submodules were kept whole, by name.

    Raises:
        NetworkError: the network itself cannot be traced, or differs between the modes.
    """
    kept_whole: dict[str, str] = {}
    while True:
        training = _record(module, kept_whole, input_shape, training=True)
        evaluation = _record(module, kept_whole, input_shape, training=False)
        different = _differing_calls(training, evaluation)
        if "" in different or (different and different <= kept_whole.keys()):
            raise NetworkError(
                f"{type(module).__name__} computes different graphs in training and in evaluation "
                f"outside its submodules; {ADVICE}"
            )
        if not different:
            return _laid_over(module, training, evaluation), kept_whole
        reasons = dict.fromkeys(different, "it differs between training and evaluation")
        kept_whole |= reasons | kept_whole


class _Recording:
    """A graph, the calls of submodules that made it, and the tensors made on the way."""

    def __init__(self, graph: fx.Graph, calls: Iterable[Call], made: Mapping[str, Tensor]) -> None:
        recorded = list(graph.nodes)
        drop_unread_nodes(graph, nodes_with_effect(graph))
        self.graph = graph
        self.made = made
        self.nodes = list(graph.nodes)
        self.whole = Call(module="", start=0, stop=len(self.nodes))
        self._place = {node: i for i, node in enumerate(self.nodes)}
        # How many of the nodes that are left came before each one that was recorded.
        left = [0, *accumulate(node in self._place for node in recorded)]
        seen: Counter[str] = Counter()
        self.calls: dict[tuple[str, int], Call] = {}
        for call in calls:
            self.calls[call.module, seen[call.module]] = replace(
                call, start=left[call.start], stop=left[call.stop]
            )
            seen[call.module] += 1

    def is_one_node(self, call: Call) -> bool:
        """Whether a call is recorded as such, or not at all since nobody reads it."""
        nodes = self.nodes[call.start : call.stop]
        return not nodes or (nodes[0].op == "call_module" and nodes[0].target == call.module)

    def signature(self, call: Call) -> list[Any]:
        """Return what a call records, whatever the constants and the place in the graph."""

        def inside(value: Any) -> int | None:
            place = self._place[value] if isinstance(value, fx.Node) else -1
            return place - call.start if place >= call.start else None

        return [
            (
                node.op,
                node.target,
                self.made[node.target].tolist() if node.target in self.made else None,
                fx.node.map_aggregate((node.args, node.kwargs), inside),
            )
            for node in self.nodes[call.start : call.stop]
        ]


def _record(
    module: nn.Module,
    kept_whole: dict[str, str],
    input_shape: InputShape | None,
    *,
    training: bool,
) -> _Recording:
    tracer = SymbolicTracer(kept_whole, input_shape)
    own = set(vars(module))
    with left_as_it_was(module):
        module.train(training)
        try:
            graph = tracer.trace(module)
        except CANNOT_TRACE as error:
            raise NetworkError(
                f"{type(module).__name__} cannot be traced: {told(error)}; {ADVICE}"
            ) from error
        # The tracer hangs constants it meets on the network itself.
        read = [str(node.target) for node in graph.nodes if node.op == "get_attr"]
        made = {n: vars(module)[n] for n in read if n in vars(module) and n not in own}
    return _Recording(graph, tracer.calls, made)


def _differing_calls(training: _Recording, evaluation: _Recording) -> set[str]:
    """Return the innermost modules whose calls differ; the empty name is the network itself."""

    def differ(one: Call, other: Call) -> bool:
        return training.signature(one) != evaluation.signature(other)

    def are_one_node(one: Call, other: Call) -> bool:  # then whoever calls it differs
        return training.is_one_node(one) or evaluation.is_one_node(other)

    if not differ(training.whole, evaluation.whole):
        return set()
    different: list[Call] = []
    for key, call in evaluation.calls.items():  # a call comes after those it makes
        counterpart = training.calls.get(key)
        holds_one = any(call.start <= c.start and c.stop <= call.stop for c in different)
        if counterpart is None or holds_one or are_one_node(counterpart, call):
            continue
        if differ(counterpart, call):
            different.append(call)
    return {call.module for call in different} or {""}


def _laid_over(module: nn.Module, training: _Recording, evaluation: _Recording) -> fx.GraphModule:
    vars(module).update(evaluation.made)
    traced = fx.GraphModule(module, evaluation.graph, class_name=type(module).__name__)
    for name in evaluation.made:
        del vars(module)[name]
    switches: dict[str, str] = {}

    def merged(value: Any, in_training: Any) -> Any:
        if isinstance(value, fx.Node):
            return value
        if isinstance(value, tuple | list):
            return type(value)(map(merged, value, in_training))
        if isinstance(value, dict):
            return {key: merged(value[key], in_training[key]) for key in value}
        if isinstance(value, slice):
            ends = ("start", "stop", "step")
            return slice(*(merged(getattr(value, e), getattr(in_training, e)) for e in ends))
        if value == in_training:
            return value
        pair = f"{in_training!r} {value!r}"
        if pair not in switches:
            switches[pair] = f"by_mode_{len(switches)}"
            traced.add_submodule(switches[pair], ByMode(in_training, value))
        return traced.graph.call_module(switches[pair])

    for counterpart, node in zip(training.nodes, evaluation.nodes, strict=True):
        with traced.graph.inserting_before(node):
            node.args = merged(node.args, counterpart.args)
            node.kwargs = merged(node.kwargs, counterpart.kwargs)
    return traced
