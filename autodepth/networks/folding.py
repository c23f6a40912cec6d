"""Folding the test-time factor p_l of a branch into its last affine layer.

Training with stochastic depth leaves a branch to be scaled by p_l at test time. Where the branch
ends in a layer that is linear in its own weights (batch norm, convolution, linear, layer scale),
scaling those weights does it for nothing and the network stays a plain one.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import fx, nn

from autodepth.errors import NetworkError
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.tracing import ResidualSite

_AFFINE = (nn.modules.batchnorm._BatchNorm, nn.Conv2d, nn.Linear, nn.LayerNorm, nn.GroupNorm)  # noqa: SLF001
_TRANSPARENT = (nn.Dropout, nn.Dropout2d, nn.Identity)
_LAYOUT = frozenset({"permute", "transpose", "reshape", "view", "flatten", "contiguous", "getitem"})


@torch.no_grad()
def fold_survival(network: ResidualNetwork, survival: Mapping[int, float]) -> None:
    """Scale each branch by its survival probability, in place, inside its last affine layer.

    Args:
        network: the network to change.
        survival: p_l by branch number; branches that are not named stay as they are.

    Raises:
        NetworkError: a branch does not end in a layer that can take the factor.
    """
    for branch, site in network.kept():
        factor = survival.get(branch.index, 1.0)
        if factor == 1.0:
            continue
        parameters = _last_affine(network.module, site)
        if not parameters:
            raise NetworkError(
                f"branch {branch.index} ({branch.module}) does not end in an affine layer, so its "
                "survival probability cannot be folded; train it with p_L = 1"
            )
        for parameter in parameters:
            parameter.mul_(factor)


def is_foldable(network: ResidualNetwork, site: ResidualSite) -> bool:
    """Whether the branch at a site ends in a layer that can take a factor."""
    return bool(_last_affine(network.module, site))


def _last_affine(module: fx.GraphModule, site: ResidualSite) -> list[nn.Parameter]:
    nodes = {node.name: node for node in module.graph.nodes}
    node: fx.Node | None = nodes[site.branch]
    inside = set(site.branch_nodes)
    while node is not None and node.name in inside:
        if node.op == "call_module":
            layer = module.get_submodule(str(node.target))
            if isinstance(layer, nn.MultiheadAttention):
                layer = layer.out_proj
            if isinstance(layer, _AFFINE):
                weight, bias = layer.weight, layer.bias
                return [p for p in (weight, bias) if isinstance(p, nn.Parameter)]
            if not isinstance(layer, _TRANSPARENT):
                return []
            node = node.all_input_nodes[0]
        elif (scale := _layer_scale(module, node)) is not None:
            return [scale]
        elif node.op in {"call_method", "call_function"} and _is_layout(node):
            node = node.all_input_nodes[0]
        else:
            return []
    return []


def _layer_scale(module: fx.GraphModule, node: fx.Node) -> nn.Parameter | None:
    """Return the parameter of `parameter * value`, if that is what the node does."""
    if getattr(node.target, "__name__", node.target) not in {"mul", "imul", "mul_"}:
        return None
    for operand in node.all_input_nodes:
        if operand.op == "get_attr":
            owner, _, name = str(operand.target).rpartition(".")
            value = getattr(module.get_submodule(owner), name)
            return value if isinstance(value, nn.Parameter) else None
    return None


def _is_layout(node: fx.Node) -> bool:
    return getattr(node.target, "__name__", node.target) in _LAYOUT
