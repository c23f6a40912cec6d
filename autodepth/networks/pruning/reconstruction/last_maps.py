"""The last linear map of each branch: a layer whose weights can be solved for.

Such a map is a convolution in one group or a linear layer, with a batch norm after it or none, and
between it and the addition only what leaves numbers alone, scales channels by parameters of its own
(layer scale) or puts axes in another order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

import torch.nn.functional as F
from torch import Tensor, fx, nn

from autodepth.networks.gates.batch_statistics import BATCH_NORMS, BatchNorm
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.tracing.sites.data_flow import parameters_read

Layer: TypeAlias = nn.Conv2d | nn.Linear
Step: TypeAlias = Callable[[Tensor], Tensor]

_PASSING = (nn.Identity, nn.Dropout, nn.Dropout2d)
_PASSING_NAMES = frozenset({"dropout", "dropout1d", "contiguous", "clone"})
_SMALLEST_SCALE = 1e-12


@dataclass(frozen=True, kw_only=True)
class LastMap:
    """Where a branch ends in a linear map.

    Args:
        layer: the map.
        source: the call whose value it reads.
        norm: the batch norm after it; None where there is none.
        steps: what follows it up to the addition, each with what undoes it, the first one first.
    """

    layer: Layer
    source: fx.Node
    norm: BatchNorm | None
    steps: Sequence[tuple[Step, Step]]

    @property
    def features(self) -> int:
        """Numbers that one output of the layer is computed from."""
        return self.layer.weight[0].numel()

    @property
    def has_constant(self) -> bool:
        """Whether layer and norm add a constant."""
        return self.norm is not None or self.layer.bias is not None

    def computed(self, inputs: Tensor) -> Tensor:
        """Return what the branch adds where the layer reads these inputs."""
        out: Tensor = self.layer(inputs)
        out = out if self.norm is None else self.norm(out)
        return reduce(lambda value, step: step[0](value), self.steps, out)

    def undone(self, added: Tensor) -> Tensor:
        """Return what layer and norm have to give for the branch to add this."""
        return reduce(lambda value, step: step[1](value), reversed(self.steps), added)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return weight [outputs, features] and constant [outputs] of layer and norm together."""
        weight = self.layer.weight.detach().flatten(1)
        bias = self.layer.bias
        constant = weight.new_zeros(len(weight)) if bias is None else bias.detach()
        if (norm := self.norm) is None:
            return weight, constant
        scale = norm.weight.detach() / (_known(norm.running_var) + norm.eps).sqrt()
        shifted = (constant - _known(norm.running_mean)) * scale
        return weight * scale[:, None], shifted + norm.bias.detach()

    def rows(self, inputs: Tensor) -> Tensor:
        """Return what each output of the layer is computed from, [N, features]."""
        layer = self.layer
        if isinstance(layer, nn.Linear):
            return inputs.flatten(0, -2)
        if layer.kernel_size == (1, 1) and layer.padding == (0, 0):
            picked = inputs[:, :, :: layer.stride[0], :: layer.stride[1]]
            return picked.permute(0, 2, 3, 1).flatten(0, 2)
        shape: Any = (layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        return F.unfold(inputs, *shape).transpose(1, 2).flatten(0, 1)

    def targets(self, outputs: Tensor) -> Tensor:
        """Return values of the layer's shape as rows, [N, outputs], in the order of `rows`."""
        if isinstance(self.layer, nn.Linear):
            return outputs.flatten(0, -2)
        return outputs.permute(0, 2, 3, 1).flatten(0, 2)


def last_maps(network: ResidualNetwork) -> dict[int, LastMap]:
    """Return the last linear map of each branch that ends in one, by branch number."""
    nodes = {node.name: node for node in network.module.graph.nodes}
    calls = Counter(node.target for node in nodes.values() if node.op == "call_module")
    found = {}
    for branch, site in network.kept():
        inside = {nodes[name] for name in site.branch_nodes}
        plain = not nodes[site.addition].kwargs  # else the addition scales the branch
        last = _LastMaps(network.module, inside, calls).before(nodes[site.branch])
        if plain and last is not None:
            found[branch.index] = last
    return found


class _LastMaps:
    """Goes back from the end of a branch."""

    def __init__(self, module: fx.GraphModule, inside: set[fx.Node], calls: Counter[Any]) -> None:
        self._module, self._inside, self._calls = module, inside, calls

    def before(self, node: fx.Node) -> LastMap | None:
        """Return the linear map that a branch ends in at a node; None where it does not."""
        steps: list[tuple[Step, Step]] = []
        while self._is_alone(node):
            if isinstance(norm := self._module_of(node), BATCH_NORMS):
                return self._map(node.all_input_nodes[0], steps, norm)
            if (last := self._map(node, steps, None)) is not None:
                return last
            step = self._step(node)
            if step is None:
                return None
            steps.insert(0, step)
            node = next(n for n in node.all_input_nodes if n.op != "get_attr")
        return None

    def _is_alone(self, node: fx.Node) -> bool:
        return node in self._inside and len(node.users) == 1 and bool(node.all_input_nodes)

    def _module_of(self, node: fx.Node) -> nn.Module | None:
        """Return the module that a node calls, where it is called nowhere else."""
        if node.op != "call_module" or self._calls[node.target] != 1:
            return None
        return self._module.get_submodule(str(node.target))

    def _map(
        self, node: fx.Node, steps: Sequence[tuple[Step, Step]], norm: BatchNorm | None
    ) -> LastMap | None:
        layer = self._module_of(node) if self._is_alone(node) else None
        if not _is_linear(layer) or (norm is not None and not _is_plain(norm)):
            return None
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        return LastMap(layer=layer, source=node.all_input_nodes[0], norm=norm, steps=tuple(steps))

    def _step(self, node: fx.Node) -> tuple[Step, Step] | None:
        """Return what a node does and what undoes it; None where that is not known."""
        name = str(getattr(node.target, "__name__", node.target))
        if isinstance(self._module_of(node), _PASSING) or name in _PASSING_NAMES:
            return _as_it_is, _as_it_is
        if name in {"permute", "transpose"} and not node.kwargs:
            return _reordered(name, node.args[1:])
        if name in {"mul", "imul", "mul_"} and len(node.all_input_nodes) == 2:
            return self._scaled(node)
        return None

    def _scaled(self, node: fx.Node) -> tuple[Step, Step] | None:
        by = [value for value in node.all_input_nodes if value.op == "get_attr"]
        found = [p for value in by for p in parameters_read(self._module, value)]
        if len(by) != 1 or len(found) != 1 or found[0].detach().abs().min() < _SMALLEST_SCALE:
            return None
        scale = found[0].detach()
        return (lambda value: value * scale), (lambda value: value / scale)


def _reordered(name: str, axes: Sequence[Any]) -> tuple[Step, Step] | None:
    order = axes[0] if len(axes) == 1 and isinstance(axes[0], Sequence) else axes
    if not all(isinstance(axis, int) for axis in order):
        return None
    if name == "transpose":
        return (lambda value: value.transpose(*order)), (lambda value: value.transpose(*order))
    count = len(order)
    back = sorted(range(count), key=lambda place: order[place] % count)
    return (lambda value: value.permute(*order)), (lambda value: value.permute(*back))


def _as_it_is(value: Tensor) -> Tensor:
    return value


def _is_linear(layer: nn.Module | None) -> bool:
    if isinstance(layer, nn.Linear):
        known = type(layer).forward is nn.Linear.forward
    elif isinstance(layer, nn.Conv2d):
        known = type(layer).forward is nn.Conv2d.forward and layer.groups == 1
        known = known and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    else:
        return False
    return known and isinstance(layer.weight, nn.Parameter)  # parametrised ones undo a change


def _is_plain(norm: BatchNorm) -> bool:
    known = any(type(norm).forward is kind.forward for kind in BATCH_NORMS)
    return known and norm.affine and norm.running_var is not None


def _known(statistics: Tensor | None) -> Tensor:
    assert statistics is not None
    return statistics
