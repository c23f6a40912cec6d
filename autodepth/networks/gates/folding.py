"""Folding the test-time factor p_l of a branch into its last affine layer.

Training with stochastic depth leaves a branch to be scaled by p_l at test time. Where the branch
ends in a layer that is linear in its own weights (batch norm, convolution, linear, layer scale),
scaling those weights does it for nothing and the network stays a plain one. What lies between
that layer and the addition must pass a positive factor on: max(0, p x) = p max(0, x).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import fx, nn

from autodepth.errors import NetworkError
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.tracing.sites.data_flow import parameters_read

_AFFINE = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear, nn.LayerNorm, nn.GroupNorm,
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm,
)  # fmt: skip
_HOMOGENEOUS = (
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.ReLU, nn.LeakyReLU,
    nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten,
    nn.PixelShuffle, nn.PixelUnshuffle,
)  # fmt: skip
_AFFINE_FUNCTIONS = frozenset(
    {F.conv2d, F.linear, F.batch_norm, F.layer_norm, F.group_norm, torch.conv2d}
)
_HOMOGENEOUS_NAMES = frozenset({
    "adaptive_avg_pool2d", "avg_pool2d", "chunk", "contiguous", "dropout", "flatten", "getitem",
    "leaky_relu", "max_pool2d", "mean", "permute", "pixel_shuffle", "relu", "relu_", "reshape",
    "roll", "squeeze", "transpose", "unsqueeze", "view",
})  # fmt: skip
_SIZES = frozenset({"getattr", "size", "dim"})


@torch.no_grad()
def fold_survival(network: ResidualNetwork, survival: Mapping[int, float]) -> None:
    """Scale each branch by its survival probability, in place, inside its last affine layer.

    Args:
        network: the network to change.
        survival: p_l by branch number; branches that are not named stay as they are.

    Raises:
        NetworkError: a branch does not end in a layer that can take the factor; then nothing
            has changed.
    """
    factors = {b: survival.get(b.index, 1.0) for b, _ in network.kept()}
    targets = fold_targets(network)
    for branch, factor in factors.items():
        if factor != 1.0 and branch.index not in targets:
            raise NetworkError(
                f"branch {branch.index} ({branch.module}) does not end in an affine layer, so its "
                "survival probability cannot be folded; train it with inverted compensation"
            )
    for branch, factor in factors.items():
        if factor != 1.0:
            for parameter in targets[branch.index]:
                parameter.mul_(factor)


def fold_targets(network: ResidualNetwork) -> dict[int, list[nn.Parameter]]:
    """Return what a factor goes into, by branch number; branches that cannot take one are absent.

    A parameter that the network uses in a second place takes none.
    """
    graph, nodes = network.module.graph, {n.name: n for n in network.module.graph.nodes}
    uses: Counter[nn.Parameter] = Counter()
    for node in graph.nodes:
        times = 1 if node.op == "call_module" else len(node.users)
        uses.update(parameters_read(network.module, node) * times)
    targets = {}
    for branch, site in network.kept():
        inside = {nodes[name] for name in site.branch_nodes}
        found = _takers(network.module, nodes[site.branch], inside)
        if found and all(uses[parameter] == 1 for parameter in found):
            targets[branch.index] = found
    return targets


def _takers(module: fx.GraphModule, node: fx.Node, inside: set[fx.Node]) -> list[nn.Parameter]:
    """Return the parameters that, scaled, scale the node's value; none if there are no such."""
    readers = [user for user in node.users if _name(user) not in _SIZES]
    if node not in inside or len(readers) != 1:
        return []  # outside the branch, or read a second time on the way
    if found := _affine_parameters(module, node):
        return found
    source = _source_of_factor(module, node)
    return _takers(module, source, inside) if source is not None else []


def _affine_parameters(module: fx.GraphModule, node: fx.Node) -> list[nn.Parameter]:
    """Return weight and bias of a layer or function that is linear in both together."""
    if node.op == "call_module":
        layer = module.get_submodule(str(node.target))
        if type(layer) is nn.MultiheadAttention:
            layer = layer.out_proj
        if not _is_exactly(layer, _AFFINE) or not isinstance(layer.weight, nn.Parameter):
            return []  # normalised or parametrised weights undo a factor
        return [p for p in (layer.weight, layer.bias) if isinstance(p, nn.Parameter)]
    if node.target in _AFFINE_FUNCTIONS:
        weights = node.all_input_nodes[1:]
        computed = any(w.all_input_nodes or w.op == "placeholder" for w in weights)
        return [] if computed else _parameters(module, weights)
    if _name(node) in {"mul", "imul", "mul_"}:  # a layer scale
        return _parameters(module, node.all_input_nodes)[:1]
    return []


def _source_of_factor(module: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """Return the node whose value, scaled, scales this one's; None if there is no such."""
    if node.op == "call_module":
        passes = _is_exactly(module.get_submodule(str(node.target)), _HOMOGENEOUS)
    else:
        passes = _name(node) in _HOMOGENEOUS_NAMES
    first = node.args[0] if node.args else None
    return first if passes and isinstance(first, fx.Node) else None


def _is_exactly(layer: nn.Module, kinds: tuple[type[nn.Module], ...]) -> bool:
    """Whether a layer computes what one of the kinds does: a subclass may standardise weights."""
    return any(isinstance(layer, k) and type(layer).forward is k.forward for k in kinds)


def _parameters(module: fx.GraphModule, nodes: list[fx.Node]) -> list[nn.Parameter]:
    """Return the parameters among values read directly."""
    return [p for n in nodes if n.op == "get_attr" for p in parameters_read(module, n)]


def _name(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target))
