"""Laying the recording of a network in training over the one in evaluation.

Where they differ in a constant (the flag of a dropout) or in a piece without weights, a module
that knows the mode supplies it. What is stochastic depth is left as it is in evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, fx, nn

from autodepth.networks.running.modes import ReadNetwork
from autodepth.networks.tracing.alignment import Piece, UnlikeError, align, unexplained
from autodepth.networks.tracing.recording import Recording
from autodepth.networks.tracing.sites.own_depth import depth_by_trial, only_scales, passes_on


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


def unlike_nodes(module: nn.Module, training: Recording, evaluation: Recording) -> list[fx.Node]:
    """Return nodes, of either recording, by which they cannot be laid over each other."""
    try:
        alignment = align(training, evaluation)
    except UnlikeError as error:
        return list(error.nodes)
    stateful = [
        side.value
        for piece in alignment.pieces.values()
        for side in (piece.training, piece.evaluation)
        if side.holds_state(module)
    ]
    return [*stateful, *unexplained(alignment, training, evaluation)]


def leaves_out_parts(module: nn.Module, training: Recording, evaluation: Recording) -> bool:
    """Whether a run of training only leaves out parts of the network, or scales values."""
    try:
        pieces = align(training, evaluation).pieces.values()
    except UnlikeError:
        return False

    def scales(piece: Piece) -> bool:
        run = _of_one_tensor(module, piece)
        return run is not None and only_scales(run)

    return all(piece.is_left_out() or scales(piece) for piece in pieces)


def lay_over(
    module: nn.Module, training: Recording, evaluation: Recording
) -> tuple[fx.GraphModule, list[float]]:
    """Return one graph for both modes, and survival probabilities of what was taken out of it.

    Args:
        module: the network.
        training: a run that is fit by `unlike_nodes`, or by `leaves_out_parts`.
        evaluation: likewise.
    """
    alignment = align(training, evaluation)
    vars(module).update(evaluation.made)
    traced = ReadNetwork(module, evaluation.graph, class_name=type(module).__name__)
    for name in evaluation.made:
        del vars(module)[name]
    merger = _Merger(traced)
    survival = []
    for values, piece in alignment.pieces.items():
        run = _of_one_tensor(module, piece)
        depth = depth_by_trial(run) if run is not None and not training.drew else None
        if depth is not None:
            survival.append(depth.survival)
        elif not training.drew:
            merger.pieces[values] = piece
    for node, in_training in alignment.counterpart.items():
        depth = depth_by_trial(run) if (run := _of_call(node, in_training)) else None
        if depth is None and not (run and passes_on(run)):
            merger.merge(node, in_training)
            continue
        survival += [depth.survival] if depth else []
        if depth is None or depth.in_evaluation == 1:
            node.replace_all_uses_with(node.all_input_nodes[0])
            traced.graph.erase_node(node)
    return traced, survival


class _Merger:
    """Gives nodes in evaluation what they read in training, too.

    Args:
        traced: the network in evaluation.
    """

    def __init__(self, traced: fx.GraphModule) -> None:
        self.pieces: dict[tuple[fx.Node, fx.Node], Piece] = {}
        self._traced = traced
        self._made: dict[object, Any] = {}

    def merge(self, node: fx.Node, in_training: fx.Node) -> None:
        """Let a node read what depends on the mode."""
        with self._traced.graph.inserting_before(node):
            node.args = self._merged(node.args, in_training.args)
            node.kwargs = self._merged(node.kwargs, in_training.kwargs)

    def _merged(self, value: Any, in_training: Any) -> Any:
        if isinstance(value, fx.Node):
            piece = self.pieces.get((value, in_training))
            return value if piece is None else self._piece(piece)
        if isinstance(value, tuple | list):
            return type(value)(map(self._merged, value, in_training))
        if isinstance(value, dict):
            return {key: self._merged(value[key], in_training[key]) for key in value}
        if isinstance(value, slice):
            ends = ("start", "stop", "step")
            return slice(*(self._merged(getattr(value, e), getattr(in_training, e)) for e in ends))
        if value == in_training:
            return value
        pair = f"{in_training!r} {value!r}"
        if pair not in self._made:
            self._made[pair] = self._add(ByMode(in_training, value))
        return self._traced.graph.call_module(self._made[pair])

    def _piece(self, piece: Piece) -> fx.Node:
        key = (piece.evaluation.value, piece.training.value)
        if key not in self._made:  # its first reader comes after all that it is made of
            name = self._add(piece.as_module(self._traced))
            inputs = tuple(node for node, _ in piece.inputs)
            self._made[key] = self._traced.graph.call_module(name, inputs)
        made: fx.Node = self._made[key]
        return made

    def _add(self, module: nn.Module) -> str:
        name = f"by_mode_{len(self._made)}"
        self._traced.add_submodule(name, module)
        return name


def _of_one_tensor(module: nn.Module, piece: Piece) -> Callable[[Tensor, bool], Any] | None:
    """Return a piece as a function of its input and the mode, if it is one of that alone."""
    sides = (piece.training, piece.evaluation)
    if len(piece.inputs) != 1 or any(side.holds_state(module) for side in sides):
        return None
    by_mode = piece.as_module(module)
    return lambda x, training: by_mode.train(training)(x)


def _of_call(node: fx.Node, in_training: fx.Node) -> Callable[[Tensor, bool], Any] | None:
    """Return a call as a function of its input and the mode, if its arguments tell the mode."""
    if node.op != "call_function" or len(node.all_input_nodes) != 1:
        return None
    calls = [(each.args, each.kwargs) for each in (node, in_training)]
    fixed = [fx.node.map_arg(call, lambda _: None) for call in calls]
    if fixed[0] == fixed[1]:
        return None
    function: Any = node.target

    def run(x: Tensor, training: bool) -> Any:
        args, kwargs = fx.node.map_arg(calls[training], lambda _: x)
        return function(*args, **kwargs)

    return run
