"""Finding residual branches in the data flow of a network, whatever its classes are called.

A residual addition joins two paths that part at one node. On the graph that node is the nearest
common dominator of the operands. The path with fewer weighted operations is the shortcut, the
other one the residual branch. Parameters read directly (layer scale, position embeddings) and
sizes are no inputs: counted as such they would hide the dominator.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import fx, nn

from autodepth.networks.data_flow import DataFlow, attribute

__all__ = ["ResidualSite", "attribute", "find_residual_sites", "told_refused"]

_ADDITIONS = frozenset({operator.add, operator.iadd, torch.add, "add", "add_"})
_PASSING = frozenset({"clone", "contiguous"})  # methods that leave the value as it is


@dataclass(frozen=True, kw_only=True)
class ResidualSite:
    """One residual addition in a traced graph, told by node names so that copies share it.

    Args:
        addition: the node that adds.
        fork: the node where shortcut and branch part.
        shortcut: the operand that stays when the branch goes; equals `fork` for an identity.
        branch: the operand that the branch computes.
        branch_nodes: the nodes that only the branch needs, in order of execution, `branch` the
            last of them.
        identity: whether the shortcut passes the fork's value on unchanged, or as other branches
            beside this one left it.
        block: qualified name of the module whose forward does the addition.
    """

    addition: str
    fork: str
    shortcut: str
    branch: str
    branch_nodes: tuple[str, ...]
    identity: bool
    block: str


def find_residual_sites(traced: fx.GraphModule) -> tuple[list[ResidualSite], list[str]]:
    """Return the residual additions of a traced network, from the input to the output.

    Additions that are no residuals (position embeddings, sums of equal paths) are left alone.
    Of nested ones the outermost is taken, unless it spans several blocks.

    Returns:
        The additions whose branch can be left out, and the modules (by qualified name) with an
        `x + f(x)` whose branch cannot, since something else reads f(x) too.
    """
    flow = DataFlow(traced)
    sites: list[ResidualSite] = []
    refused: dict[str, str] = {}
    identities: dict[fx.Node, fx.Node] = {}
    for node in traced.graph.nodes:
        if node.op not in {"call_function", "call_method"} or node.target not in _ADDITIONS:
            continue
        parted = _part(flow, node)
        if parted is None:
            continue
        site = _residual_site(flow, node, parted, identities)
        if site is not None:
            sites.append(site)
        elif parted.passes_no_weights(flow):
            refused[node.name] = _enclosing_module(node)
    blocks = list(_blocks(sites))
    inside = {name for site in blocks for name in site.branch_nodes}
    return blocks, [module for name, module in refused.items() if name not in inside]


def told_refused(modules: Sequence[str]) -> list[str]:
    """Return a sentence about branches that cannot be left out, if there are any."""
    if not modules:
        return []
    more = f" and {len(modules) - 1} more" * (len(modules) > 1)
    return [
        f"{modules[0] or 'the network itself'}{more}: adds x + f(x), but part of f(x) is read "
        "elsewhere too, so the branch cannot be left out"
    ]


@dataclass(frozen=True)
class _Parted:
    """The operands of an addition that looks residual, and where they part."""

    fork: fx.Node
    shortcut: fx.Node
    branch: fx.Node

    def passes_no_weights(self, flow: DataFlow) -> bool:
        """Whether the shortcut passes no weights where the branch does."""
        ends = (self.shortcut, self.branch)
        shortcut, branch = (flow.distance(self.fork, flow.between(self.fork, e))[0] for e in ends)
        return not shortcut and bool(branch)


def _part(flow: DataFlow, addition: fx.Node) -> _Parted | None:
    """Tell shortcut and branch of an addition, if it looks residual."""
    operands = [a for a in addition.args[:2] if isinstance(a, fx.Node)]
    if len(operands) != 2 or operands[0] is operands[1]:
        return None
    a, b = operands
    for x, f in ((a, b), (b, a)):  # x + f(x, ...), x an activation or a token that is learned
        if flow.carries[f] and flow.is_made_from(f, x) and flow.is_activation(x):
            return _Parted(x, x, f)
    if not (flow.carries[a] and flow.carries[b]):
        return None
    fork = flow.common(a, b)
    length = {
        end: (flow.distance(fork, path), sum(flow.weights[node][0] for node in path))
        for end, path in ((end, flow.between(fork, end)) for end in (a, b))
    }
    shortcut, branch = sorted(length, key=length.__getitem__)
    if length[shortcut] == length[branch] or length[shortcut][0][2] > 1:
        return None  # equal or long paths that meet, as in a feature pyramid; a projection is short
    return _Parted(fork, shortcut, branch)


def _residual_site(
    flow: DataFlow, addition: fx.Node, parted: _Parted, identities: dict[fx.Node, fx.Node]
) -> ResidualSite | None:
    """Return the site of an addition, if its branch can be left out."""
    fork, shortcut, branch = parted.fork, parted.shortcut, parted.branch
    if shortcut is addition.args[1] and addition.kwargs.get("alpha", 1) != 1:
        return None  # the shortcut is scaled by the addition
    own = flow.needed_only_by(addition, branch)
    shared = set(flow.between(fork, branch)) - set(own) - set(flow.between(fork, shortcut))
    if not any(flow.weights[n][0] for n in own) or any(flow.weights[n][1] for n in shared):
        return None
    identity = _passes_on(flow.traced, shortcut, fork, identities)
    if identity:
        identities[addition] = shortcut
    return ResidualSite(
        addition=addition.name,
        fork=fork.name,
        shortcut=shortcut.name,
        branch=branch.name,
        branch_nodes=tuple(node.name for node in own),
        identity=identity,
        block=_enclosing_module(addition),
    )


def _passes_on(
    traced: fx.GraphModule, node: fx.Node, fork: fx.Node, identities: dict[fx.Node, fx.Node]
) -> bool:
    """Whether a node has the fork's value, or what branches beside this one added to it."""
    while node is not fork:
        if node in identities:
            node = identities[node]
        elif node.target in _PASSING or (
            node.op == "call_module"
            and isinstance(traced.get_submodule(str(node.target)), nn.Identity)
        ):
            node = node.all_input_nodes[0]
        else:
            return False
    return True


def _blocks(sites: Sequence[ResidualSite]) -> Iterator[ResidualSite]:
    """Leave out skips around several blocks, and additions inside what is left."""
    inside = {site: set(site.branch_nodes) for site in sites}

    def spans_blocks(site: ResidualSite) -> bool:
        inner = {s.block for s in sites if s.identity and s.addition in inside[site]}
        return len(inner - {site.block}) > 1

    blocks = [site for site in sites if not spans_blocks(site)]
    inner = {name for site in blocks for name in site.branch_nodes}
    yield from (site for site in blocks if site.addition not in inner)


def _enclosing_module(node: fx.Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    return next(reversed(stack.values()), ("", None))[0] if stack else ""
