"""Where the channels that a layer makes go, and which weights read them.

Layers with weights are known by their kind; what any other step does to channels is tried out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any

from torch import Tensor, fx, nn
from torch.func import functional_call

from autodepth.networks.pruning.channels.groups import ChannelGroup, Slice
from autodepth.networks.pruning.channels.layers import (
    NORMS,
    WEIGHTED,
    Attention,
    Norm,
    Weighted,
    is_torchs,
    layer_at,
)
from autodepth.networks.pruning.channels.steps import Place, Steps
from autodepth.networks.pruning.channels.trial import Lie, RandomValues
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.tracing.sites.data_flow import attribute

_OWN_TENSORS = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
_OF_ATTENTION = {"in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"}


class ChannelFlow(fx.Interpreter):
    """Runs a graph node by node and follows channels through it.

    Args:
        network: its branches are told apart.
        module: its graph, on the CPU and in evaluation.
    """

    def __init__(self, network: ResidualNetwork, module: fx.GraphModule) -> None:
        super().__init__(module)
        self._graph = module
        self.extra_traceback = False
        self.groups: list[ChannelGroup] = []
        self.unknown: dict[int, str] = {}
        """Why a branch has layers that channels cannot be followed through."""
        self._random = RandomValues()
        self._steps = Steps(self, self._random)
        self.lost = self._steps.lost
        sites = sorted(network.kept(), key=lambda pair: -len(pair[1].branch_nodes))
        # Where branches are nested the innermost counts: it comes last.
        self._branch = {name: b.index for b, site in sites for name in site.branch_nodes}
        self._read = Counter(id(part) for node in module.graph.nodes for part in self._parts(node))
        self._kept = {*module.state_dict()}
        self._multiple = network.channel_multiple

    def groups_at(self, nodes: Iterable[fx.Node]) -> list[ChannelGroup]:
        """Return the groups whose channels or sizes nodes have."""
        return self._steps.groups_at(nodes)

    def found(self) -> list[ChannelGroup]:
        """Return the groups of channels that layers make, each once."""
        return list(dict.fromkeys(group.resolved() for group in self.groups))

    def run_node(self, n: fx.Node) -> Any:
        """Run a node, then see what becomes of channels in it."""
        result = super().run_node(n)
        if n.op == "get_attr":
            self._start(n, result)
        else:
            self._through(n)
        return result

    def _through(self, n: fx.Node) -> None:
        groups = self.groups_at(n.all_input_nodes)
        for group in groups:
            group.leaves |= group.branch != self._branch.get(n.name, 0)
        layer = layer_at(self._graph, n, self._is_plain)
        if n.op == "output":
            for group in groups:
                group.stay("they are what the network gives")
        elif isinstance(layer, Weighted):
            self._through_weights(n, layer)
        elif isinstance(layer, Attention) and groups:
            self._through_attention(n, layer)
        elif isinstance(layer, Norm) and self._given_sizes(n) == [layer.size]:
            self._through_norm(n, layer)
        elif groups:
            self._through_step(n, groups)
        elif (table := self._table(n)) is not None:
            self._start_of_table(n, table)
        if not self._steps.places.get(n):
            self._note_loss(n)

    def _note_loss(self, n: fx.Node) -> None:
        """Note why it is not known where channels are in what a node gives, if there are any."""
        if n.op == "call_module":
            module = self.module.get_submodule(str(n.target))
            if not self._is_plain(module) and next(module.parameters(), None) is not None:
                kind = type(module).__name__
                told = f"what {kind} does to channels is not known"
                if self._is_shared(module):
                    told = f"its {kind} {n.target} is used elsewhere too, or shares weights"
                self.unknown.setdefault(self._branch.get(n.name, 0), told)
                self.lost.setdefault(n, told)
        before = (self.lost[i] for i in n.all_input_nodes if i in self.lost)
        for reason in before:
            self.lost.setdefault(n, reason)

    def _parts(self, node: fx.Node) -> list[object]:
        """Return the layer or the tensor that a node reads, and the layer's parameters."""
        if node.op == "call_module":
            layer = self.module.get_submodule(str(node.target))
            return [layer, *layer.parameters()]
        read = node.op == "get_attr" and not _for_its_kind_alone(node)
        return [attribute(self.module, str(node.target))] if read else []

    def _is_plain(self, part: nn.Module | Tensor) -> bool:
        """Whether a layer has its kind's tensors alone, and nobody else reads them."""
        if isinstance(part, Tensor):
            return self._read[id(part)] == 1
        known = _OF_ATTENTION if isinstance(part, nn.MultiheadAttention) else _OWN_TENSORS
        return part.state_dict().keys() <= known and not self._is_shared(part)

    def _is_shared(self, layer: nn.Module) -> bool:
        """Whether a layer, or a parameter of it, is read at several places."""
        return any(self._read[id(part)] > 1 for part in (layer, *layer.parameters()))

    def _start(self, n: fx.Node, value: object) -> None:
        """Let each axis of a parameter be channels that go nowhere yet."""
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return
        if _for_its_kind_alone(n):
            return
        name, groups = str(n.target), []
        for axis, size in enumerate(value.shape):
            if size > 1:
                group = ChannelGroup(branch=self._branch.get(n.name, 0), size=size)
                group.slices.append(Slice(tensor=name, dim=axis))
                if self._read[id(value)] > 1:
                    group.stay(f"{name} is read in several places")
                elif name not in self._kept:
                    group.stay(f"{name} is worked out for them and not in the state dict")
                groups.append(Place(group, Lie(axis)))
        self._steps.places[n] = groups

    def _table(self, n: fx.Node) -> nn.Embedding | None:
        """Return the table that a node looks something up in, as transformers do positions."""
        layer = self.module.get_submodule(str(n.target)) if n.op == "call_module" else None
        if not isinstance(layer, nn.Embedding) or not n.all_input_nodes:
            return None
        return layer if is_torchs(layer) and self._is_plain(layer) else None

    def _start_of_table(self, n: fx.Node, table: nn.Embedding) -> None:
        """Let the entries of each row of a table be channels that go nowhere yet."""
        group = ChannelGroup(branch=self._branch.get(n.name, 0), size=table.embedding_dim)
        group.slices.append(Slice(tensor=f"{n.target}.weight", dim=1))
        rows = self.env[n.all_input_nodes[0]]
        self._steps.places[n] = [Place(group, Lie(rows.ndim))]

    def _through_weights(self, n: fx.Node, layer: Weighted) -> None:
        """Let a layer read the channels it is given, and give channels of its own."""
        given = n.all_input_nodes[0]
        axis = self.env[given].ndim - 1 if layer.linear else 1
        read, beside = self._split(given, axis)
        for place in beside if not layer.linear else []:
            self._steps.refuse(n, place.group)
        passing = beside if layer.linear else []
        if layer.depthwise:
            if read is not None and (read.lie.repeats, read.lie.each) == (1, 1):
                if layer.groups_at is not None:
                    self._steps.follow(n, layer.groups_at, read.group)
                self._pass_on(n, layer.own, read)
            elif read is not None:
                self._steps.refuse(n, read.group)
            return
        if read is not None:
            self._read_by(n, layer, read)
        group = ChannelGroup(
            branch=self._branch.get(n.name, 0),
            size=layer.shape[0],
            blocks=layer.groups,
            multiple=self._multiple if layer.shape[0] > self._multiple else 1,
            written=True,
        )
        self._pass_on(n, layer.own, Place(group, Lie(axis)))
        if group.size > 1:
            self.groups.append(group)
            self._steps.places[n] += passing
        else:
            self._steps.places[n] = passing

    def _read_by(self, n: fx.Node, layer: Weighted, place: Place) -> None:
        group, lie = place.group.resolved(), place.lie
        if layer.groups > 1 and (lie.repeats, lie.each) != (1, 1):
            self._steps.refuse(n, group)
            return
        group.blocks = math.lcm(group.blocks, layer.groups)
        group.slices.append(
            Slice(
                tensor=layer.weight,
                dim=1,
                reads=True,
                groups=layer.groups,
                repeats=lie.repeats,
                each=lie.each,
            )
        )

    def _through_attention(self, n: fx.Node, layer: Attention) -> None:
        """Let heads read the channels; what they give has as many, so these go together."""
        given = n.all_input_nodes[0]
        axis = self.env[given].ndim - 1
        read, beside = self._split(given, axis)
        for place in beside:
            self._steps.refuse(n, place.group)
        if read is None or (read.lie.repeats, read.lie.each) != (1, 1):
            if read is not None:
                self._steps.refuse(n, read.group)
            return
        group, each = read.group.resolved(), layer.size
        heads = ChannelGroup(
            branch=self._branch.get(n.name, 0), size=layer.heads, written=True, follows=True
        )
        self.groups.append(heads)
        for name in filter(None, (layer.in_weight, layer.in_bias)):
            heads.slices.append(Slice(tensor=name, dim=0, repeats=3, each=each))
        heads.slices.append(Slice(tensor=layer.out_weight, dim=1, reads=True, each=each))
        group.slices.append(Slice(tensor=layer.in_weight, dim=1, reads=True))
        for name in filter(None, (layer.out_weight, layer.out_bias)):
            group.slices.append(Slice(tensor=name, dim=0))
        for other in self.groups_at(layer.beside):
            if other.size == heads.size:
                heads.join(other)
        if layer.heads_at is not None:
            self._steps.follow(n, layer.heads_at, heads)
        group.heads.append((heads, each))
        group.multiple = math.lcm(group.multiple, each)
        place = Place(group, Lie(axis))
        if n.op == "call_module":
            self._steps.of_parts[n] = [[place], []]  # outputs and weights
        else:
            self._steps.places[n] = [place]

    def _given_sizes(self, n: fx.Node) -> list[int]:
        """Return how many channels lie in the first input of a layer, by group."""
        places = self._steps.places.get(n.all_input_nodes[0], [])
        return [place.group.size * place.lie.repeats * place.lie.each for place in places]

    def _through_norm(self, n: fx.Node, layer: Norm) -> None:
        """Let a norm keep what it has of the channels that it is given, an entry of each."""
        group = self._steps.places[n.all_input_nodes[0]][0].group.resolved()
        axis = self.env[n.all_input_nodes[0]].ndim - 1 if layer.last else 1
        read, beside = self._split(n.all_input_nodes[0], axis)
        lie = None if read is None else (read.lie.repeats, read.lie.each)
        if read is None or beside or (layer.groups > 1 and lie != (1, 1)):
            self._steps.refuse(n, group)
            return
        group.blocks = math.lcm(group.blocks, layer.groups)
        if layer.together:
            name = layer.own[0].rpartition(".")[0] if layer.own else n.name
            group.normalised = group.normalised or name
        if layer.size_at is not None:
            self._steps.follow(n, layer.size_at, group)
        self._pass_on(n, layer.own, read)

    def _through_step(self, n: fx.Node, groups: list[ChannelGroup]) -> None:
        layer = self.module.get_submodule(str(n.target)) if n.op == "call_module" else None
        entries = isinstance(layer, NORMS) and not is_torchs(layer) and self._is_plain(layer)
        shapes = {tuple(t.shape) for t in layer.state_dict().values() if t.ndim} if layer else set()
        if entries and shapes == {(groups[0].size,)}:
            self._steps.take(n, narrow=layer)
            for place in self._steps.places.get(n, [])[:1]:
                names = [k for k, t in layer.state_dict().items() if t.ndim]  # type: ignore[union-attr]
                self._pass_on(n, [f"{n.target}.{k}" for k in names], place)
        else:
            self._steps.take(n)

    def _split(self, given: fx.Node, axis: int) -> tuple[Place | None, list[Place]]:
        """Return the channels that lie along an axis, and those along others."""
        places = self._steps.places.get(given, [])
        along = [place for place in places if place.lie.axis == axis]
        return (along[0] if along else None), [p for p in places if p.lie.axis != axis]

    def _pass_on(self, n: fx.Node, own: Iterable[str], place: Place) -> None:
        """Note the tensors that have one entry per channel, and that these come out again."""
        group, lie = place.group.resolved(), place.lie
        group.slices += [
            Slice(tensor=name, dim=0, repeats=lie.repeats, each=lie.each) for name in own
        ]
        self._steps.places[n] = [Place(group, lie)]

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Give random values where torch tells the shape of a layer's output without products."""
        layer = self.module.get_submodule(target)
        costly = isinstance(layer, (*WEIGHTED, nn.MultiheadAttention))
        if not costly or not is_torchs(layer):
            return super().call_module(target, args, kwargs)
        tensors = chain(layer.named_parameters(), layer.named_buffers())
        shapes = {name: tensor.to("meta") for name, tensor in tensors}
        try:
            given = functional_call(layer, shapes, *fx.node.map_aggregate((args, kwargs), _bare))
        except Exception:  # noqa: BLE001 - not every operator works on shapes alone
            return super().call_module(target, args, kwargs)
        return fx.node.map_aggregate(given, self._filled)

    def _filled(self, value: Any) -> Any:
        return self._random.of(value.shape).to(value.dtype) if isinstance(value, Tensor) else value


def _bare(value: Any) -> Any:
    """Return a tensor's shape and type, as a tensor without content."""
    return value.to("meta") if isinstance(value, Tensor) else value


def _for_its_kind_alone(node: fx.Node) -> bool:
    """Whether a tensor is asked for its type or device alone, as transformers casts images by."""
    return bool(node.users) and all(
        user.target is getattr and user.args[1] in {"dtype", "device"} for user in node.users
    )
