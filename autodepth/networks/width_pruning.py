"""Narrower branches: inner channels of small magnitude go, the residual stream stays as wide.

torch-pruning finds which weights belong to one channel (a convolution's filter, its batch norm,
the next layer's inputs). Only groups that lie in one branch as a whole are touched, so a branch
still reads and gives what it did, and can be skipped or removed as before.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn

from autodepth.errors import InputError
from autodepth.networks.branch_parts import branch_layers
from autodepth.networks.copying import copied
from autodepth.networks.cost import evaluating
from autodepth.networks.measuring import Measured
from autodepth.networks.plain_weights import computes_weights
from autodepth.networks.residual_network import ResidualNetwork

# These may hold on to a number of channels, such as the heads of an attention.
_CUTTING = frozenset({
    "chunk", "expand", "flatten", "getitem", "pixel_shuffle", "repeat", "reshape", "split",
    "tensor_split", "unbind", "unflatten", "view", "Flatten", "PixelShuffle", "Unflatten",
})  # fmt: skip


def prune_width(network: ResidualNetwork, share: float) -> ResidualNetwork:
    """Return a new network whose branches have lost their weakest inner channels.

    Channels are ranked within each layer by the L2 norm of the weights that belong to them; at
    least one stays. Channels that a reshape cuts up are left alone.

    Args:
        network: a network on any device; the new one is on the same.
        share: of the channels of each inner layer, in [0, 1).

    Raises:
        InputError: the share is outside its range.
    """
    if not 0.0 <= share < 1.0:
        raise InputError(f"share of channels to prune must be in [0, 1), but got {share}")
    device = next(network.module.parameters()).device
    module = copied(network.module).cpu()  # it is run on one image, and measured
    trained = [parameter.requires_grad for parameter in module.parameters()]
    module.requires_grad_()  # torch-pruning reads the autograd graph
    with evaluating(module):
        for group in _inner_groups(network, module, share):
            group.prune()
    for parameter, flag in zip(module.parameters(), trained, strict=True):
        parameter.requires_grad_(flag)
    measured = Measured(module, network.input_shape, network.free)
    costs = {
        branch.index: (measured.macs(site.branch_nodes), measured.parameters(site.branch_nodes))
        for branch, site in network.kept()
    }
    return ResidualNetwork(
        module.to(device),
        sites=network.sites,
        branches=[
            replace(b, macs=costs[b.index][0], parameters=costs[b.index][1])
            if b.index in costs
            else b
            for b in network.branches
        ],
        total_macs=measured.total_macs,
        input_shape=network.input_shape,
        removed=network.removed,
        around=network.around,
        notes=network.notes,
        free=network.free,
    )


def _inner_groups(network: ResidualNetwork, module: fx.GraphModule, share: float) -> Iterator[Any]:
    """Yield the weakest channels of each layer, where all they touch lies in one branch."""
    import torch_pruning  # noqa: PLC0415 - slow to import, needed by few

    layers_of = branch_layers(network, module)
    owners = {p: index for index, layers in layers_of.items() for x in layers for p in x.modules()}
    cut_up = _cut_up(module)
    parts = set(module.modules())
    stream = [part for part in parts - owners.keys() if not list(part.children())]
    kinds = torch_pruning.ops.OPTYPE
    unclear = {kinds.SPLIT, kinds.UNBIND, kinds.SLICE, kinds.PARAMETER, kinds.CUSTOMIZED}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parameters outside layers: they are left alone
        pruner = torch_pruning.MagnitudePruner(
            module,
            (torch.zeros(1, *network.input_shape),),
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=share,
            ignored_layers=stream,
            **{name: {} for name in ("in_channel_groups", "out_channel_groups", "num_heads")},
        )  # the defaults of the last three are shared by all pruners
    for group in pruner.step(interactive=True):
        targets = [dependency.target for dependency, _ in group]
        layers = {t.module for t in targets if t.module in parts}
        branches = {owners.get(layer) for layer in layers}
        reshaped = {
            dependency.target.module
            for dependency, _ in group
            if pruner.DG.is_out_channel_pruning_fn(dependency.handler)
        }
        known = not unclear & {target.type for target in targets} and not cut_up & reshaped
        known = known and not any(map(computes_weights, layers))
        if known and len(branches) == 1 and None not in branches:
            yield group


def _cut_up(module: fx.GraphModule) -> set[nn.Module]:
    """Return the layers whose output meets a reshape before the next layer with weights."""
    found: set[nn.Module] = set()
    meets: set[fx.Node] = set()
    for node in reversed(module.graph.nodes):  # users first
        layer = module.get_submodule(str(node.target)) if node.op == "call_module" else None
        name = type(layer).__name__ if layer else getattr(node.target, "__name__", node.target)
        passes = layer is None or next(layer.parameters(), None) is None
        below = not meets.isdisjoint(node.users)
        if name in _CUTTING or (below and passes):
            meets.add(node)
        elif below and layer is not None:
            found.add(layer)
    return found
