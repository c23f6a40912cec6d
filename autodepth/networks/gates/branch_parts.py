"""What each branch is made of: its layers, and the parameters nobody else reads."""

from __future__ import annotations

from torch import nn

from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.tracing.sites.data_flow import parameters_read


def branch_layers(
    network: ResidualNetwork, module: nn.Module | None = None
) -> dict[int, list[nn.Module]]:
    """Return the modules that each branch left calls, in order, by branch number.

    Args:
        network: tells which these are.
        module: a copy of the network's module to take them from; None takes that itself.
    """
    module = network.module if module is None else module
    nodes = {node.name: node for node in network.module.graph.nodes}
    return {
        branch.index: [
            module.get_submodule(str(nodes[name].target))
            for name in site.branch_nodes
            if nodes[name].op == "call_module"
        ]
        for branch, site in network.kept()
    }


def branch_parameters(network: ResidualNetwork) -> dict[int, list[nn.Parameter]]:
    """Return the parameters that each branch left reads and nothing else does."""
    nodes = {node.name: node for node in network.module.graph.nodes}
    readers: dict[nn.Parameter, set[int]] = {}
    owner = {name: b.index for b, site in network.kept() for name in site.branch_nodes}
    for name, node in nodes.items():
        for parameter in parameters_read(network.module, node):
            readers.setdefault(parameter, set()).add(owner.get(name, 0))
    result: dict[int, list[nn.Parameter]] = {branch.index: [] for branch, _ in network.kept()}
    for parameter, branches in readers.items():
        if len(branches) == 1 and 0 not in branches:
            result[branches.pop()].append(parameter)
    return result
