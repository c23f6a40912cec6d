"""One run of a network as a graph, with the calls of submodules that made it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from torch import Tensor, fx, nn

from autodepth.networks.running.causes import refusal
from autodepth.networks.running.preserve import left_as_it_was
from autodepth.networks.running.random_state import (
    extreme_draws,
    generator_states,
    generators_as_they_were,
)
from autodepth.networks.tracing.inplace_ops import (
    drop_unread_nodes,
    is_inplace,
    name_mutations,
    nodes_with_effect,
)
from autodepth.networks.tracing.tracer import CANNOT_TRACE, Call, SymbolicTracer

InputShape = tuple[int, ...]


class Recording:
    """A graph, the calls of submodules that made it, and the tensors made on the way.

    Args:
        graph: what was recorded; what nobody reads is dropped.
        calls: of submodules.
        made: tensors the network made while it ran, by the name they are read by.
        drew: the innermost modules in which Python decided by a random number.
        asked: whether Python asked for a number that the size of the images decides.
    """

    def __init__(
        self,
        graph: fx.Graph,
        calls: Iterable[Call],
        made: Mapping[str, Tensor],
        drew: Collection[str],
        *,
        asked: bool,
    ) -> None:
        recorded = list(graph.nodes)
        drop_unread_nodes(graph, nodes_with_effect(graph))
        name_mutations(graph)
        self.graph = graph
        self.made = made
        self.drew = drew
        self.asked = asked
        self.nodes = list(graph.nodes)
        self.whole = Call(module="", start=0, stop=len(self.nodes))
        self.place = {node: i for i, node in enumerate(self.nodes)}
        # How many of the nodes that are left came before each one that was recorded.
        left = [0, *accumulate(node in self.place for node in recorded)]
        seen: Counter[str] = Counter()
        self.calls: dict[tuple[str, int], Call] = {}
        for call in calls:
            self.calls[call.module, seen[call.module]] = replace(
                call, start=left[call.start], stop=left[call.stop]
            )
            seen[call.module] += 1

    def is_one_node(self, call: Call) -> bool:
        """Whether a call is recorded as such."""
        nodes = self.nodes[call.start : call.stop]
        return bool(nodes) and nodes[0].op == "call_module" and nodes[0].target == call.module

    def signature(self, call: Call) -> list[Any]:
        """Return what a call records, whatever the constants and the place in the graph."""

        def inside(value: Any) -> int | None:
            place = self.place[value] if isinstance(value, fx.Node) else -1
            return place - call.start if place >= call.start else None

        return [
            (*self.operation(node), fx.node.map_aggregate((node.args, node.kwargs), inside))
            for node in self.nodes[call.start : call.stop]
        ]

    def is_like(self, other: Recording) -> bool:
        """Whether another run recorded the same, constants included."""
        tensors = ([repr(t.tolist()) for t in run.made.values()] for run in (self, other))
        return str(self.graph) == str(other.graph) and len({*map(str, tensors)}) == 1

    def read(self) -> set[fx.Node]:
        """Return the nodes that the output is made of, or what is changed in place."""
        found: set[fx.Node] = set()
        waiting = [n for n in self.nodes if n.op == "output" or is_inplace(n)]
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                waiting.extend(node.all_input_nodes)
        return found

    def operation(self, node: fx.Node) -> tuple[Any, ...]:
        """Return what a node does, whatever it does it to."""
        made = self.made.get(str(node.target)) if node.op == "get_attr" else None
        return node.op, node.target, None if made is None else repr(made.tolist())


@dataclass(frozen=True)
class Recorder:
    """Records runs of one network.

    Args:
        module: the network; it and the random generators are left as they were.
        input_shape: (C, H, W) of one image, or None.
        own_depth: its submodules that are stochastic depth and give back their input, by name.
        scaled_depth: those that give back a fixed part of it; they are run as in evaluation.
        kept_whole: why submodules are kept as one node; what cannot be passed is added.
    """

    module: nn.Module
    input_shape: InputShape | None
    own_depth: Collection[str]
    scaled_depth: Collection[str]
    kept_whole: dict[str, str]

    def record(self, *, training: bool, largest: bool = False) -> Recording:
        """Return one run. Where Python draws, every draw is the smallest number, or the largest.

        Raises:
            NetworkError: the network itself cannot be traced.
        """
        with generators_as_they_were():
            before = generator_states()
            recording = self._run(training=training, largest=largest, watch=False)
            drawn = generator_states() != before
        if not drawn:
            return recording
        return self._run(training=training, largest=largest, watch=True)

    def _run(self, *, training: bool, largest: bool, watch: bool) -> Recording:
        module = self.module
        tracer = SymbolicTracer(
            self.kept_whole,
            self.input_shape,
            own_depth=self.own_depth,
            largest=largest,
            watch_draws=watch,
        )
        own = set(vars(module))
        draws = extreme_draws(largest=largest) if watch else nullcontext()
        with left_as_it_was(module), draws:
            module.train(training)
            for name in self.scaled_depth:
                module.get_submodule(name).eval()
            try:
                graph = tracer.trace(module)
            except CANNOT_TRACE as error:
                raise refusal(module, self.input_shape, error) from error
            # The tracer hangs constants it meets on the network itself.
            read = [str(node.target) for node in graph.nodes if node.op == "get_attr"]
            made = {n: vars(module)[n] for n in read if n in vars(module) and n not in own}
        # What draws outside of all submodules is the network itself.
        drew = tracer.drew or ({""} if watch else set())
        return Recording(graph, tracer.calls, made, drew, asked=tracer.asked)
