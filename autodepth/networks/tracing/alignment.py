"""What two recordings of a network have in common, and the pieces in which they differ.

A piece is a value that is made one way in training and another way in evaluation, out of values
that both have: a function that drops paths, noise in a `forward`, a block that is left out.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from torch import Tensor, fx, nn

from autodepth.networks.tracing.recording import Recording
from autodepth.networks.tracing.sites.data_flow import attribute, is_size


class ByModePiece(nn.Module):
    """A piece of a graph that depends on the mode.

    Args:
        training: the piece in training, a function of the inputs.
        evaluation: the piece in evaluation, of the same inputs.
    """

    def __init__(self, training: fx.GraphModule, evaluation: fx.GraphModule) -> None:
        super().__init__()
        self.in_training = training
        self.in_evaluation = evaluation

    def forward(self, *inputs: Any) -> Any:
        """Return the value of the present mode."""
        return (self.in_training if self.training else self.in_evaluation)(*inputs)


@dataclass(frozen=True, kw_only=True)
class Made:
    """A value of one recording, and how it is made.

    Args:
        value: the value.
        nodes: what makes it, in order; none where both recordings have it.
        tensors: tensors that the network made while it ran, by name.
    """

    value: fx.Node
    nodes: tuple[fx.Node, ...]
    tensors: Mapping[str, Tensor]

    def holds_state(self, root: nn.Module) -> bool:
        """Whether parameters or buffers are read."""
        return any(
            (n.op == "get_attr" and n.target not in self.tensors)
            or (n.op == "call_module" and _has_tensors(root, str(n.target)))
            for n in self.nodes
        )


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A value that is made in two ways.

    Args:
        training: how in training.
        evaluation: how in evaluation.
        inputs: what it is made of, as nodes of both recordings: evaluation's, training's.
    """

    training: Made
    evaluation: Made
    inputs: tuple[tuple[fx.Node, fx.Node], ...]

    def is_left_out(self) -> bool:
        """Whether training passes on a value of which evaluation makes something."""
        passed_on = [node for node, other in self.inputs if other is self.training.value]
        return not self.training.nodes and bool(passed_on) and bool(self.evaluation.nodes)

    def as_module(self, root: nn.Module) -> ByModePiece:
        """Return it as a module that is called with its inputs; the piece holds no state."""
        evaluation = [node for node, _ in self.inputs]
        training = [node for _, node in self.inputs]
        return ByModePiece(
            _cut_out(root, self.training, training), _cut_out(root, self.evaluation, evaluation)
        )


class UnlikeError(Exception):
    """Two recordings differ in more than pieces; `nodes` is where."""

    def __init__(self, *nodes: fx.Node) -> None:
        super().__init__()
        self.nodes = nodes


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """Two recordings laid side by side.

    Args:
        counterpart: the node in training of each node in evaluation that has one.
        pieces: by the value in evaluation and that in training that is read in its place.
    """

    counterpart: dict[fx.Node, fx.Node]
    pieces: dict[tuple[fx.Node, fx.Node], Piece]


def align(training: Recording, evaluation: Recording) -> Alignment:
    """Lay two recordings side by side.

    Raises:
        UnlikeError: they differ in more than constants and pieces.
    """
    counterpart = _counterparts(training, evaluation)
    back = {other: node for node, other in counterpart.items()}
    pairs = dict.fromkeys(
        (one, other)
        for node, in_training in counterpart.items()
        for one, other in _values_read(node, in_training)
        if counterpart.get(one) is not other
    )
    pieces = {}
    for one, other in pairs:
        in_evaluation, of_evaluation = _made(one, counterpart, evaluation)
        in_training, of_training = _made(other, back, training)
        inputs = dict.fromkeys([*of_evaluation, *(back[node] for node in of_training)])
        pieces[one, other] = Piece(
            training=in_training,
            evaluation=in_evaluation,
            inputs=tuple((node, counterpart[node]) for node in inputs),
        )
    return Alignment(counterpart=counterpart, pieces=pieces)


def unexplained(alignment: Alignment, training: Recording, evaluation: Recording) -> list[fx.Node]:
    """Return nodes that only one recording has and that are in no piece, or in several.

    A layer whose value nobody reads (an auxiliary head, whose scores are left) is none.
    """
    sides = [side for p in alignment.pieces.values() for side in (p.training, p.evaluation)]
    common = alignment.counterpart.keys() | set(alignment.counterpart.values())
    of_pieces = [node for side in sides for node in side.nodes if node not in common]
    once = {node for node in of_pieces if of_pieces.count(node) == 1}
    alone = [n for n in (*training.nodes, *evaluation.nodes) if n not in common]
    read = training.read() | evaluation.read()
    return [node for node in alone if node not in once and node in read]


def _counterparts(training: Recording, evaluation: Recording) -> dict[fx.Node, fx.Node]:
    keys = [[_key(each, n) for n in each.nodes] for each in (evaluation, training)]
    if keys[0] == keys[1]:
        return dict(zip(evaluation.nodes, training.nodes, strict=True))
    matcher = SequenceMatcher(None, keys[0], keys[1], autojunk=False)
    return {
        evaluation.nodes[block.a + i]: training.nodes[block.b + i]
        for block in matcher.get_matching_blocks()
        for i in range(block.size)
    }


def _key(recording: Recording, node: fx.Node) -> tuple[Any, ...]:
    stack = node.meta.get("nn_module_stack") or {}
    return (
        *recording.operation(node),
        next(reversed(stack.values()), ("",))[0],
        len(node.all_input_nodes),
    )


def _values_read(node: fx.Node, other: fx.Node) -> list[tuple[fx.Node, fx.Node]]:
    """Return what two nodes read, side by side.

    Raises:
        UnlikeError: it is arranged in another way.
    """
    one, two = (dict(_leaves((each.args, each.kwargs))) for each in (node, other))
    if one.keys() != two.keys():
        raise UnlikeError(node, other)
    pairs = [(one[path], two[path]) for path in one]
    if any(isinstance(a, fx.Node) != isinstance(b, fx.Node) for a, b in pairs):
        raise UnlikeError(node, other)
    return [(a, b) for a, b in pairs if isinstance(a, fx.Node)]


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        inner: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, tuple | list):
        inner = enumerate(value)
    elif isinstance(value, slice):
        inner = ((end, getattr(value, end)) for end in ("start", "stop", "step"))
    else:
        yield path, value
        return
    for key, part in inner:
        yield from _leaves(part, (*path, key))


def _made(
    value: fx.Node, common: Collection[fx.Node], recording: Recording
) -> tuple[Made, list[fx.Node]]:
    """Return how a value is made of what both recordings have, and of which of these."""
    nodes: set[fx.Node] = set()
    inputs: set[fx.Node] = set()
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if node in common and not _is_of_size(node):
            inputs.add(node)
        elif node not in nodes:  # sizes are asked for anew
            nodes.add(node)
            waiting.extend(node.all_input_nodes)
    place = recording.place.__getitem__
    made = Made(value=value, nodes=tuple(sorted(nodes, key=place)), tensors=recording.made)
    return made, sorted(inputs, key=place)


def _is_of_size(node: fx.Node) -> bool:
    if node.target is operator.getitem and isinstance(node.args[0], fx.Node):
        return _is_of_size(node.args[0])
    return is_size(node)


def _cut_out(root: nn.Module, made: Made, inputs: list[fx.Node]) -> fx.GraphModule:
    graph = fx.Graph()
    copies = {node: graph.placeholder(f"input_{i}") for i, node in enumerate(inputs)}
    for node in made.nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[made.value])
    read = {str(node.target) for node in made.nodes if node.op in {"call_module", "get_attr"}}
    parts = {
        name: made.tensors[name] if name in made.tensors else attribute(root, name) for name in read
    }
    return fx.GraphModule(parts, graph, class_name="Piece")


def _has_tensors(root: nn.Module, name: str) -> bool:
    module = root.get_submodule(name)
    return any(True for _ in (*module.parameters(), *module.buffers()))
