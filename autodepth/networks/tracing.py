"""Finding residual branches in the data flow of a network, whatever its classes are called.

A residual addition joins two paths that part at one node. On the graph of `torch.fx` that node
is the nearest common dominator of the operands. The path with fewer weighted modules is the
shortcut, the other one the residual branch. Parameters read directly (layer scale, position
embeddings) are no inputs: counted as such they would hide the dominator.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import fx, nn

from autodepth.errors import NetworkError

# Stochastic depth that a network brings along. The gates take its place, so that no branch is
# dropped twice; these modules hold no weights, so the state dict stays as it was.
_FOREIGN_STOCHASTIC_DEPTH = frozenset({"StochasticDepth", "DropPath", "DropPath2d"})
_ADDITIONS = frozenset({operator.add, operator.iadd, torch.add, "add", "add_"})


@dataclass(frozen=True, kw_only=True)
class ResidualSite:
    """One residual addition in a traced graph, told by node names so that copies share it.

    Args:
        addition: the node that adds.
        fork: the node where shortcut and branch part.
        shortcut: the operand that stays when the branch goes; equals `fork` for an identity.
        branch: the operand that the branch computes.
        branch_nodes: all nodes of the branch in order of execution, `branch` the last of them.
        identity: whether the shortcut passes the fork's value on unchanged.
        block: qualified name of the module whose forward does the addition.
    """

    addition: str
    fork: str
    shortcut: str
    branch: str
    branch_nodes: tuple[str, ...]
    identity: bool
    block: str


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return _is_stochastic_depth(m) or super().is_leaf_module(m, module_qualified_name)


def trace(module: nn.Module) -> fx.GraphModule:
    """Return the network as a graph over its own submodules: same names, keys and parameters.

    Raises:
        NetworkError: control flow depends on data, or differs between training and evaluation.
    """
    graphs = []
    was_training = module.training
    for mode in (True, False):
        module.train(mode)
        try:
            graphs.append(_Tracer().trace(module))
        except (TypeError, ValueError, RuntimeError, AttributeError, fx.proxy.TraceError) as error:
            raise NetworkError(
                f"{type(module).__name__} cannot be traced: {error}. Move control flow that "
                "depends on tensor values into a function marked with torch.fx.wrap"
            ) from error
    module.train(was_training)
    training, evaluation = graphs
    if str(training) != str(evaluation):
        raise NetworkError(
            f"{type(module).__name__} computes different graphs in training and in evaluation; use "
            "modules (nn.Dropout) in place of `if self.training` and functions that read it"
        )
    traced = fx.GraphModule(module, evaluation, class_name=type(module).__name__)
    _remove_stochastic_depth(traced)
    _name_mutations(traced)
    _drop_unread_items(traced)
    traced.recompile()
    return traced


def forbid_inplace_after(traced: fx.GraphModule, addition: fx.Node) -> None:
    """Make the operators that read an addition leave its value alone.

    With the branch gone the addition's value is the shortcut itself, often the output of the
    activation before. A second activation in place on it would destroy what the first one's
    gradient needs.
    """
    for user in addition.users:
        if user.op == "call_module":
            module = traced.get_submodule(str(user.target))
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]
        elif user.kwargs.get("inplace"):
            user.kwargs = {**user.kwargs, "inplace": False}
        elif user.op == "call_method" and str(user.target).endswith("_"):
            user.target = str(user.target).rstrip("_")


def find_residual_sites(traced: fx.GraphModule) -> list[ResidualSite]:
    """Return the residual additions of a traced network, from the input to the output.

    Additions that are no residuals (position embeddings, sums of equal paths) are left alone,
    and so are additions inside the branch of another.
    """
    dominators = _Dominators(traced.graph)
    weighted = {n for n in traced.graph.nodes if _has_weights(traced, n)}
    sites = []
    for node in traced.graph.nodes:
        if node.op in {"call_function", "call_method"} and node.target in _ADDITIONS:
            site = _residual_site(traced, node, dominators, weighted)
            if site is not None:
                sites.append(site)
    inner = {name for site in sites for name in site.branch_nodes}
    return [site for site in sites if site.addition not in inner]


class _Dominators:
    """Immediate dominators on the data flow: all paths from the input run through them."""

    def __init__(self, graph: fx.Graph) -> None:
        self._parent: dict[fx.Node, fx.Node] = {}
        self._depth: dict[fx.Node, int] = {}
        for node in graph.nodes:  # a topological order, so one pass is enough
            if node.op == "placeholder":
                self._depth[node] = 0
            inputs = [i for i in node.all_input_nodes if i in self._depth]
            if inputs:
                nearest: fx.Node | None = inputs[0]
                for other in inputs[1:]:
                    nearest = self.common(nearest, other)
                if nearest is not None:
                    self._parent[node] = nearest
                    self._depth[node] = self._depth[nearest] + 1

    def common(self, a: fx.Node | None, b: fx.Node | None) -> fx.Node | None:
        """Return the nearest node that dominates both (a node dominates itself), if any."""
        while a is not b:
            if a is None or b is None or a not in self._depth or b not in self._depth:
                return None
            if self._depth[a] >= self._depth[b]:
                a = self._parent.get(a)
            else:
                b = self._parent.get(b)
        return a


def _residual_site(
    traced: fx.GraphModule, addition: fx.Node, dominators: _Dominators, weighted: set[fx.Node]
) -> ResidualSite | None:
    operands = [a for a in addition.args[:2] if isinstance(a, fx.Node)]
    if len(operands) != 2 or operands[0] is operands[1]:
        return None
    fork = dominators.common(*operands)
    if fork is None:
        return None
    paths = [_nodes_between(fork, operand) for operand in operands]
    counts = [len(path & weighted) for path in paths]
    if counts[0] == counts[1] or paths[0] & paths[1]:
        return None
    longer = int(counts[1] > counts[0])
    shortcut, branch = operands[1 - longer], operands[longer]
    if _weight_matrices(traced, paths[1 - longer] & weighted) > 1:
        return None  # two long paths that meet, as in a feature pyramid
    if any(
        user not in paths[longer] and user is not addition
        for node in paths[longer]
        for user in node.users
    ):
        return None  # something else reads the branch, so it cannot go
    identity = all(_is_identity(traced, node) for node in paths[1 - longer])
    order = [n.name for n in traced.graph.nodes if n in paths[longer]]
    return ResidualSite(
        addition=addition.name,
        fork=fork.name,
        shortcut=shortcut.name,
        branch=branch.name,
        branch_nodes=tuple(order),
        identity=identity,
        block=_enclosing_module(addition),
    )


def _nodes_between(fork: fx.Node, end: fx.Node) -> set[fx.Node]:
    """Return the nodes on paths from the fork (left out) to the end (counted in)."""
    between: set[fx.Node] = set()
    waiting = [end]
    while waiting:
        node = waiting.pop()
        if node is not fork and node not in between:
            between.add(node)
            waiting.extend(node.all_input_nodes)
    return between


def _has_weights(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op != "call_module":
        return False
    module = traced.get_submodule(str(node.target))
    return next(module.parameters(), None) is not None


def _weight_matrices(traced: fx.GraphModule, nodes: Iterable[fx.Node]) -> int:
    modules = (traced.get_submodule(str(node.target)) for node in nodes)
    return sum(any(p.ndim > 1 for p in module.parameters()) for module in modules)


def _is_identity(traced: fx.GraphModule, node: fx.Node) -> bool:
    return node.op == "call_module" and isinstance(
        traced.get_submodule(str(node.target)), nn.Identity
    )


def _enclosing_module(node: fx.Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    return next(reversed(stack.values()), ("", None))[0] if stack else ""


def _is_stochastic_depth(module: nn.Module) -> bool:
    return type(module).__name__ in _FOREIGN_STOCHASTIC_DEPTH


def _remove_stochastic_depth(traced: fx.GraphModule) -> None:
    for node in list(traced.graph.nodes):
        if node.op == "call_module" and _is_stochastic_depth(traced.get_submodule(node.target)):
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()


def _name_mutations(traced: fx.GraphModule) -> None:
    """Let whatever reads `x` after `x.add_(y)` read the addition: the data flow then shows it."""
    nodes = list(traced.graph.nodes)
    position = {node: i for i, node in enumerate(nodes)}
    for node in nodes:
        inplace = node.target is operator.iadd or (
            node.op == "call_method" and str(node.target).endswith("_")
        )
        if inplace and isinstance(node.args[0], fx.Node):
            for user in list(node.args[0].users):
                if position[user] > position[node]:
                    user.replace_input_with(node.args[0], node)


def _drop_unread_items(traced: fx.GraphModule) -> None:
    """Erase results nobody reads (attention weights): they would look like users of a branch."""
    for node in reversed(traced.graph.nodes):
        if node.target is operator.getitem and not node.users:
            traced.graph.erase_node(node)
