"""The width of the residual stream: which channels run through the additions of each stage.

What is added to the stream, and what reads it, go with its channels: the stem, the last and first
layers of branches, norms, layer scales, position embeddings and class tokens, projections and the
classifier. Heads of `torch.nn.MultiheadAttention` go with them too, as it has one width for all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import fx

from autodepth.errors import NetworkError
from autodepth.networks.pruning.channels.flow import ChannelFlow
from autodepth.networks.pruning.channels.groups import ChannelGroup
from autodepth.networks.pruning.channels.narrowing import (
    Narrowing,
    follow_channels,
    narrowing_in,
    nothing_narrow,
)
from autodepth.networks.residual_network import ResidualNetwork


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The channels that run through the additions of a network.

    Args:
        groups: of each stage whose width can be another one, those of its additions first.
        stay: why a stage has to keep its width, by its number.
    """

    groups: Mapping[int, tuple[ChannelGroup, ...]]
    stay: Mapping[int, str]

    @property
    def widths(self) -> dict[int, int]:
        """Number of channels of each stage whose width can be another one."""
        return {stage: groups[0].size for stage, groups in self.groups.items()}

    @property
    def units(self) -> dict[int, int]:
        """What the number of channels of each such stage must be a multiple of."""
        return {stage: groups[0].unit for stage, groups in self.groups.items()}

    def told(self) -> list[str]:
        """Return a sentence per reason why stages keep their width, with their numbers."""
        stages: dict[str, list[int]] = defaultdict(list)
        for stage, reason in self.stay.items():
            stages[reason].append(stage)
        return [
            f"stage {', '.join(map(str, alike))} keeps its width: {reason}"
            for reason, alike in stages.items()
        ]


def find_stream(network: ResidualNetwork, module: fx.GraphModule | None = None) -> Stream:
    """Find the channels of the residual stream, stage by stage.

    Args:
        network: left as it is.
        module: a copy of the network's module on the CPU; None where that is there itself.
    """
    try:
        flow = follow_channels(network, module)
    except NetworkError as error:
        return _all_stay(network, str(error))
    return stream_in(network, flow)


def find_widths(network: ResidualNetwork) -> tuple[Narrowing, Stream]:
    """Find the channels inside branches and those of the stream, following them once."""
    try:
        flow = follow_channels(network)
    except NetworkError as error:
        return nothing_narrow(network, str(error)), _all_stay(network, str(error))
    return narrowing_in(network, flow), stream_in(network, flow)


def _all_stay(network: ResidualNetwork, why: str) -> Stream:
    return Stream(groups={}, stay=dict.fromkeys(range(1, network.num_stages + 1), why))


def stream_in(network: ResidualNetwork, flow: ChannelFlow) -> Stream:
    """Return the channels of the residual stream of a network whose channels were followed."""
    nodes = {node.name: node for node in flow.module.graph.nodes}  # type: ignore[union-attr]
    of: dict[int, dict[ChannelGroup, None]] = defaultdict(dict)
    stay: dict[int, str] = {}
    taken: set[ChannelGroup] = set()
    for stage, node in _sums(network, nodes):
        made = [group for group in flow.groups_at([node]) if group.written]
        of[stage] |= dict.fromkeys(made)
        taken |= {*made}
        if not made:
            stay.setdefault(stage, _reason(flow, node))
    for branch, site in zip(network.branches, network.sites, strict=True):
        forks = [nodes[site.fork]] if site.fork in nodes else []
        made = [group for group in flow.groups_at(forks) if group.written and group not in taken]
        of[branch.stage] |= dict.fromkeys(made)  # what a stem gives to a first projection
        taken |= {*made}
    _bind(taken)
    for stage, groups in of.items():
        for group in groups:
            if group.obstacle:
                stay.setdefault(stage, group.obstacle)
    able = {stage: tuple(groups) for stage, groups in sorted(of.items()) if stage not in stay}
    return Stream(groups=able, stay=dict(sorted(stay.items())))


def _sums(network: ResidualNetwork, nodes: Mapping[str, fx.Node]) -> Iterator[tuple[int, fx.Node]]:
    """Yield the stage and the sum of each branch, or what took the place of that."""
    for branch, site in zip(network.branches, network.sites, strict=True):
        name = site.addition if site.addition in nodes else site.shortcut
        if name in nodes:
            yield branch.stage, nodes[name]


def _reason(flow: ChannelFlow, node: fx.Node) -> str:
    """Return why no channels are known in a sum."""
    told = [group.obstacle for group in flow.groups_at(node.all_input_nodes) if group.obstacle]
    return next(iter(told), flow.lost.get(node, "what adds to it is not known"))


def _bind(groups: set[ChannelGroup]) -> None:
    """Let channels stay with their heads, and with what they are padded to or are padding of."""
    for group in groups:
        for heads, _ in group.heads:
            group.obstacle = group.obstacle or heads.resolved().obstacle
        ways = {(p.inside.resolved(), p.before, p.after) for p in group.paddings}
        if len(ways) > 1:
            group.stay("it is padded in several ways")
    for _ in groups:  # an obstacle goes on from stage to stage
        for group in groups:
            for padding in group.paddings:
                inside = padding.inside.resolved()
                if group.obstacle:
                    inside.stay(group.obstacle)
                if inside.obstacle:
                    group.stay(inside.obstacle)
