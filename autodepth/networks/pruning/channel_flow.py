"""Where the output channels of a layer go in its branch, and which weights read them.

Layers with weights are known by their kind; what any other step does to channels is tried out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn
from torch.func import functional_call

from autodepth.networks.pruning.channel_groups import ChannelGroup, Slice
from autodepth.networks.pruning.channel_trial import RandomValues, axis_of_channels, equal, kept
from autodepth.networks.pruning.widths import BATCH_NORMS, CONVOLUTIONS
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.tracing.sites.data_flow import attribute

_WEIGHTED = (*CONVOLUTIONS, nn.Linear)
_OWN_TENSORS = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
_NORMS = (*BATCH_NORMS, nn.GroupNorm, nn.LayerNorm, nn.PReLU)
_GIVEN_OUT = "other parts of the network read them"


@dataclass(frozen=True)
class _Place:
    """Where the channels of a group lie in a tensor."""

    group: ChannelGroup
    axis: int


@dataclass(frozen=True)
class _Number:
    """What a size would be with fewer channels."""

    group: ChannelGroup
    fewer: Any


class ChannelFlow(fx.Interpreter):
    """Runs a graph node by node and follows channels through it.

    Args:
        network: its branches are those whose channels are followed.
        module: its graph, on the CPU and in evaluation.
    """

    def __init__(self, network: ResidualNetwork, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.extra_traceback = False
        self.groups: list[ChannelGroup] = []
        self._places: dict[fx.Node, _Place] = {}
        self._numbers: dict[fx.Node, _Number] = {}
        self._unknown: dict[int, str] = {}
        self._random = RandomValues()
        sites = sorted(network.kept(), key=lambda pair: -len(pair[1].branch_nodes))
        # Where branches are nested the innermost counts: it comes last.
        self._branch = {name: b.index for b, site in sites for name in site.branch_nodes}
        self._read = Counter(id(part) for node in module.graph.nodes for part in self._parts(node))

    def reason(self, branch: int) -> str:
        """Return why a branch has no channels that can go."""
        told = (group.obstacle for group in self.groups if group.branch == branch)
        inner = [reason for reason in told if reason and reason != _GIVEN_OUT]
        if inner:
            return inner[0]
        return self._unknown.get(branch, "no layer reads another one's channels")

    def run_node(self, n: fx.Node) -> Any:
        """Run a node, then see what becomes of channels in it."""
        result = super().run_node(n)
        layer = self.module.get_submodule(str(n.target)) if n.op == "call_module" else None
        plain = layer is not None and self._is_plain(layer)
        groups = self._groups_of(n.all_input_nodes)
        for group in groups:
            if group.branch != self._branch.get(n.name):
                group.stay(_GIVEN_OUT)
        if plain and isinstance(layer, _WEIGHTED) and _is_torchs(layer):
            self._through_weights(n, layer)
        elif plain and groups and isinstance(layer, _NORMS):
            self._through_norm(n, layer, groups)
        elif groups:
            self._through_step(n, groups)
        elif layer is not None and not plain and next(layer.parameters(), None) is not None:
            told = (
                f"its {type(layer).__name__} {n.target} is used elsewhere too, or shares weights"
                if self._is_shared(layer)
                else f"what {type(layer).__name__} does to channels is not known"
            )
            self._unknown.setdefault(self._branch.get(n.name, 0), told)
        return result

    def _groups_of(self, nodes: Iterable[fx.Node]) -> list[ChannelGroup]:
        """Return the groups whose channels or sizes nodes have."""
        known = [
            found for node in nodes for found in (self._places.get(node), self._numbers.get(node))
        ]
        return list(dict.fromkeys(found.group.resolved() for found in known if found))

    def _parts(self, node: fx.Node) -> list[object]:
        """Return the layer or the tensor that a node reads, and the layer's parameters."""
        if node.op == "call_module":
            layer = self.module.get_submodule(str(node.target))
            return [layer, *layer.parameters()]
        return [attribute(self.module, str(node.target))] if node.op == "get_attr" else []

    def _is_plain(self, layer: nn.Module) -> bool:
        """Whether a layer has its kind's tensors alone, and nobody else reads them."""
        return layer.state_dict().keys() <= _OWN_TENSORS and not self._is_shared(layer)

    def _is_shared(self, layer: nn.Module) -> bool:
        """Whether a layer, or a parameter of it, is read at several places."""
        return any(self._read[id(part)] > 1 for part in (layer, *layer.parameters()))

    def _through_weights(self, n: fx.Node, layer: nn.Module) -> None:
        """Let a layer read the channels it is given, and give channels of its own."""
        linear = isinstance(layer, nn.Linear)
        assert isinstance(layer.weight, Tensor)
        outputs, inputs = layer.weight.shape[:2]
        groups = 1 if linear else int(layer.groups)  # type: ignore[arg-type]
        axis = self.env[n.all_input_nodes[0]].ndim - 1 if linear else 1
        place = self._place_of(n, axis)
        if groups == outputs and inputs == 1 and groups > 1:  # depthwise: channels pass through
            if place is not None:
                self._pass_on(n, layer, place)
            return
        if place is not None:
            group = place.group.resolved()
            group.blocks = math.lcm(group.blocks, groups)
            group.slices.append(Slice(tensor=f"{n.target}.weight", dim=1, groups=groups))
        if n.name in self._branch:
            group = ChannelGroup(branch=self._branch[n.name], size=outputs, blocks=groups)
            self.groups.append(group)
            self._pass_on(n, layer, _Place(group, axis))

    def _through_norm(self, n: fx.Node, layer: nn.Module, groups: list[ChannelGroup]) -> None:
        """Let a norm keep what it has of the channels that it is given, an entry of each."""
        shapes = {tuple(tensor.shape) for tensor in layer.state_dict().values() if tensor.ndim}
        if shapes != {(groups[0].size,)}:  # one entry for all channels, or none at all
            self._through_step(n, groups)
        elif _is_torchs(layer):
            last = self.env[n.all_input_nodes[0]].ndim - 1
            place = self._place_of(n, last if isinstance(layer, nn.LayerNorm) else 1)
            if place is not None:
                if isinstance(layer, nn.GroupNorm):
                    groups[0].blocks = math.lcm(groups[0].blocks, layer.num_groups)
                self._pass_on(n, layer, place)
        else:
            self._through_step(n, groups, narrow=layer)
            if n in self._places:
                self._pass_on(n, layer, self._places[n])

    def _through_step(
        self, n: fx.Node, groups: list[ChannelGroup], narrow: nn.Module | None = None
    ) -> None:
        """Find where channels come out of a step, by leaving some of them out before it.

        Args:
            n: the step.
            groups: whose channels it is given.
            narrow: the layer that the step is, where it has an entry per channel.
        """
        first, *others = groups
        try:
            full, fewer = self._tried(n, first.size, narrow)
            unaffected = equal(full, fewer)
        except Exception:  # noqa: BLE001 - a step may raise whatever it likes at fewer channels
            self._stay(n)
            return
        if unaffected:
            return
        axis = axis_of_channels(full, fewer, first.size) if isinstance(full, Tensor) else 0
        if axis is None or any(other.size != first.size for other in others):
            self._stay(n)
            return
        for other in others:
            first.join(other)
        if isinstance(full, Tensor):
            self._places[n] = _Place(first, axis)
        else:
            self._numbers[n] = _Number(first, fewer)

    def _tried(self, n: fx.Node, size: int, narrow: nn.Module | None) -> tuple[Any, Any]:
        """Return what a step makes of random channels, and of fewer of them."""
        random = {
            node: self._random.like(self.env[node])
            for node in n.all_input_nodes
            if node in self._places
        }

        def all_of(node: fx.Node) -> Any:
            if node in random:
                return random[node]
            given = self.env[node]
            return given.clone() if isinstance(given, Tensor) else given  # it may work in place

        def fewer_of(node: fx.Node) -> Any:
            if node in random:
                return random[node].index_select(self._places[node].axis, kept(size))
            return self._numbers[node].fewer if node in self._numbers else all_of(node)

        all_given, fewer_given = (
            fx.node.map_arg((n.args, n.kwargs), of) for of in (all_of, fewer_of)
        )
        call: Callable[..., Any] = getattr(self, n.op)
        full = call(n.target, *all_given)
        if narrow is None:
            return full, call(n.target, *fewer_given)
        entries = {
            name: tensor.index_select(0, kept(size)) if tensor.ndim else tensor
            for name, tensor in narrow.state_dict().items()
        }
        return full, functional_call(narrow, entries, *fewer_given)

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Give random values where torch tells the shape of a layer's output without products."""
        layer = self.module.get_submodule(target)
        costly = isinstance(layer, (*_WEIGHTED, nn.MultiheadAttention))
        if not costly or not _is_torchs(layer):
            return super().call_module(target, args, kwargs)
        shapes = {name: tensor.to("meta") for name, tensor in layer.state_dict().items()}
        try:
            given = functional_call(layer, shapes, *fx.node.map_aggregate((args, kwargs), _bare))
        except Exception:  # noqa: BLE001 - not every operator works on shapes alone
            return super().call_module(target, args, kwargs)
        return fx.node.map_aggregate(given, self._filled)

    def _filled(self, value: Any) -> Any:
        return self._random.of(value.shape).to(value.dtype) if isinstance(value, Tensor) else value

    def _place_of(self, n: fx.Node, axis: int) -> _Place | None:
        """Return the channels a layer is given along an axis; others that it is given stay."""
        given = n.all_input_nodes[0]
        place = self._places.get(given)
        if len(n.all_input_nodes) == 1 and place is not None and place.axis == axis:
            return place
        self._stay(n)
        return None

    def _pass_on(self, n: fx.Node, layer: nn.Module, place: _Place) -> None:
        """Note the tensors that have one entry per channel, and that these come out again."""
        group = place.group.resolved()
        own = [name for name, tensor in layer.state_dict().items() if tensor.ndim]
        group.slices += [Slice(tensor=f"{n.target}.{name}", dim=0) for name in own]
        self._places[n] = _Place(group, place.axis)

    def _stay(self, n: fx.Node) -> None:
        name = n.target if isinstance(n.target, str) else getattr(n.target, "__name__", n.target)
        if n.op == "call_module":
            name = type(self.module.get_submodule(str(n.target))).__name__
        for group in self._groups_of(n.all_input_nodes):
            group.stay(f"{name} mixes channels or cuts them up")


def _is_torchs(layer: nn.Module) -> bool:
    """Whether a layer computes what its kind does, whatever its own class adds."""
    return type(layer).forward.__module__.startswith("torch.nn.")


def _bare(value: Any) -> Any:
    """Return a tensor's shape and type, as a tensor without content."""
    return value.to("meta") if isinstance(value, Tensor) else value
