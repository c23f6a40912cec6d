"""Finding residual branches in the data flow of a network, whatever its classes are called.

A residual addition joins two paths that part at one node. On the graph that node is the nearest
common dominator of the operands. The path with fewer weighted operations is the shortcut, the
other one the residual branch. Parameters read directly (layer scale, position embeddings) and
sizes are no inputs: counted as such they would hide the dominator.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from autodepth.networks.tracing.sites.additions import operation, stacked
from autodepth.networks.tracing.sites.data_flow import DataFlow, attribute

__all__ = ["ResidualSite", "attribute", "find_residual_sites", "told_not_taken"]

_ADDITIONS = frozenset({operator.add, operator.iadd, torch.add, "add", "add_"})
_WEIGHING = frozenset({"lerp", "lerp_"})  # they scale both
_LARGER = (nn.ConvTranspose2d, nn.Upsample, nn.PixelShuffle, nn.MaxUnpool2d, nn.Fold)
_LARGER_FUNCTIONS = frozenset(
    {"conv_transpose2d", "interpolate", "upsample", "pixel_shuffle", "max_unpool2d", "fold"}
)
# What joins places of an image, or features, without weights.
_FOURIER = [f"{name}{dims}" for name in ("fft", "ifft", "rfft") for dims in ("", "2", "n")]
_MIXING = frozenset({
    *_FOURIER, *(f"fft_{name}" for name in _FOURIER),  # as Python has them, and as torch calls them
    "roll", "matmul", "bmm", "einsum", "scaled_dot_product_attention", "cumsum",
})  # fmt: skip
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


@dataclass(frozen=True, kw_only=True)
class NotTaken:
    """What looks like a residual addition and is none that can be left out.

    Args:
        module: qualified name of the module whose forward adds.
        why: the reason, the end of a sentence about that module.
    """

    module: str
    why: str


_READ_ELSEWHERE = (
    "adds x + f(x), but part of f(x) is read elsewhere too, so the branch cannot be left out"
)
_SCALED = "adds x and f(x), but scales x with it, so the branch cannot be left out"
_AROUND_BLOCKS = "a skip around several branches, which are taken in its place"
_NO_WEIGHTS = "adds x + f(x), but f has no weights, and only branches with weights are taken"
_INSIDE = "adds x + f(x) inside another branch, and goes with that"


def find_residual_sites(traced: fx.GraphModule) -> tuple[list[ResidualSite], list[NotTaken]]:
    """Return the residual additions of a traced network, from the input to the output.

    Additions that are no residuals (position embeddings, sums of equal paths) are left alone.
    Of nested ones the outermost is taken, unless it spans several blocks.

    Returns:
        The additions whose branch can be left out, and what looks like one but cannot.
    """
    flow = DataFlow(traced)
    sites: list[ResidualSite] = []
    refused: dict[str, NotTaken] = {}
    identities: dict[fx.Node, fx.Node] = {}
    for node in traced.graph.nodes:
        parted = _part(flow, node)
        if parted is None:
            continue
        scaled = _scales_shortcut(node, parted)
        site = None if scaled else _residual_site(flow, node, parted, identities)
        if site is not None:
            sites.append(site)
        elif parted.passes_no_weights(flow):
            why = _SCALED if scaled else _READ_ELSEWHERE
            refused[node.name] = NotTaken(module=_enclosing_module(node), why=why)
        elif parted.mixes(flow):
            refused[node.name] = NotTaken(module=_enclosing_module(node), why=_NO_WEIGHTS)
    blocks, around = _blocks(flow, sites)
    inside = {name for site in blocks for name in site.branch_nodes}
    refused |= {s.addition: NotTaken(module=s.block, why=_AROUND_BLOCKS) for s in around}
    not_taken = [place for name, place in refused.items() if name not in inside]
    nested = [s for s in sites if s.identity and s.addition in inside]
    return blocks, [*not_taken, *(NotTaken(module=s.block, why=_INSIDE) for s in nested)]


def told_not_taken(places: Sequence[NotTaken]) -> list[str]:
    """Return a sentence per reason, with a count."""
    modules: dict[str, list[str]] = {}
    for place in places:
        modules.setdefault(place.why, []).append(place.module or "the network itself")
    return [
        f"{len(names)} place{'s' * (len(names) > 1)} not taken ({names[0]}"
        f"{f' and {len(names) - 1} more' * (len(names) > 1)}): {why}"
        for why, names in modules.items()
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

    def mixes(self, flow: DataFlow) -> bool:
        """Whether the branch joins places of an image, or features."""
        return any(operation(node) in _MIXING for node in flow.between(self.fork, self.branch))


def _part(flow: DataFlow, addition: fx.Node) -> _Parted | None:
    """Tell shortcut and branch of an addition, if it is one and looks residual."""
    operands = _operands(addition)
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


def _operands(node: fx.Node) -> list[fx.Node]:
    """Return the two values that a node adds; less of other nodes."""
    if node.op not in {"call_function", "call_method"}:
        return []
    if node.target in _ADDITIONS or operation(node) in _WEIGHING:
        values: Sequence[Any] = node.args[:2]
    else:
        values = stacked(node)[:2] if operation(node) in {"sum", "mean"} else ()
    return [value for value in values if isinstance(value, fx.Node)]


def _scales_shortcut(addition: fx.Node, parted: _Parted) -> bool:
    if addition.target not in _ADDITIONS:
        return True
    return parted.shortcut is addition.args[1] and "alpha" in addition.kwargs


def _residual_site(
    flow: DataFlow, addition: fx.Node, parted: _Parted, identities: dict[fx.Node, fx.Node]
) -> ResidualSite | None:
    """Return the site of an addition, if its branch can be left out."""
    fork, shortcut, branch = parted.fork, parted.shortcut, parted.branch
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


def _blocks(
    flow: DataFlow, sites: Sequence[ResidualSite]
) -> tuple[list[ResidualSite], list[ResidualSite]]:
    """Return sites less skips around several blocks and additions inside what is left; the skips.

    Where a step begins tells them apart, not which module it is written in: branches side by
    side are one. One step alone is a block if images grow after it, as at the bottom of a U-Net;
    else it is a part of the branch around it.
    """
    nodes = {node.name: node for node in flow.place}

    def grows_after(step: ResidualSite, site: ResidualSite) -> bool:
        path = flow.between(nodes[step.addition], nodes[site.branch])
        return any(_makes_larger(flow.traced, node) for node in path)

    around = []
    for site in sites:
        inside = set(site.branch_nodes)
        steps = {s.fork: s for s in sites if s.identity and s.addition in inside}
        if len(steps) > 1 or any(grows_after(step, site) for step in steps.values()):
            around.append(site)
    blocks = [site for site in sites if site not in around]
    inner = {name for site in blocks for name in site.branch_nodes}
    return [site for site in blocks if site.addition not in inner], around


def _makes_larger(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(traced.get_submodule(str(node.target)), _LARGER)
    return operation(node) in _LARGER_FUNCTIONS


def _enclosing_module(node: fx.Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    return next(reversed(stack.values()), ("", None))[0] if stack else ""
