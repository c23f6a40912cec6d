"""What the parts of a traced network cost: its branches, and what is around them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from autodepth.errors import NetworkError
from autodepth.networks.costs.cost import Count, counting
from autodepth.networks.running.causes import told_misfit
from autodepth.networks.running.modes import evaluating
from autodepth.networks.running.preserve import undisturbed
from autodepth.networks.tracing.sites.data_flow import parameters_read
from autodepth.networks.tracing.sites.residual_sites import ResidualSite

InputShape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a network that is no branch.

    Args:
        name: `stem` (up to where the first branch parts), `between` (shortcuts, and layers
            between blocks) or `head` (after the last addition).
        macs: multiply-accumulates per image.
        parameters: number of parameters.
    """

    name: str
    macs: int
    parameters: int


class Measured:
    """One image's way through a traced network, on the CPU.

    Args:
        traced: the network.
        input_shape: (C, H, W) of the image.
        free: names of what counts as 0.

    Raises:
        NetworkError: the network does not take such images, or cannot be counted.
    """

    def __init__(
        self, traced: fx.GraphModule, input_shape: InputShape, free: Sequence[str] = ()
    ) -> None:
        self._traced = traced
        self._read = {node.name: parameters_read(traced, node) for node in traced.graph.nodes}
        self._readers: dict[nn.Parameter, set[str]] = defaultdict(set)
        for name, parameters in self._read.items():
            for parameter in parameters:
                self._readers[parameter].add(name)
        with undisturbed(traced), evaluating(traced), counting(free) as count:
            meter = _Meter(traced, count)
            try:
                output = meter.run(torch.zeros(1, *input_shape))
            except NetworkError:
                raise
            except Exception as error:
                raise NetworkError(told_misfit(error, input_shape)) from error
        self.shapes = meter.shapes
        self.output = output
        self.total_macs = sum(meter.macs.values())
        self._macs = meter.macs
        self.called_free = frozenset(count.met)

    def macs(self, nodes: Iterable[str]) -> int:
        """Return the multiply-accumulates of some nodes."""
        return sum(self._macs[name] for name in nodes)

    def parameters(self, nodes: Iterable[str]) -> int:
        """Return how many parameters are read by these nodes and no others."""
        inside = set(nodes)
        read = {p for name in inside for p in self._read[name]}
        return sum(p.numel() for p in read if self._readers[p] <= inside)

    def around(self, sites: Sequence[ResidualSite]) -> tuple[Part, ...]:
        """Return stem, between and head; with the branches they add up to the network."""
        place = {name: i for i, name in enumerate(self._read)}
        branches = {name for site in sites for name in site.branch_nodes}
        rest = [name for name in self._read if name not in branches]
        start, end = place[sites[0].fork], max(place[site.addition] for site in sites)
        stem = [name for name in rest if place[name] <= start]
        head = [name for name in rest if place[name] > end]
        between = [name for name in rest if start < place[name] <= end]
        counts = {"stem": self.parameters(stem), "head": self.parameters(head)}
        of_branches = sum(self.parameters(site.branch_nodes) for site in sites)
        total = sum(p.numel() for p in self._traced.parameters())
        # What several parts read belongs to none of them, and is counted here.
        counts["between"] = total - of_branches - sum(counts.values())
        parts = {"stem": stem, "between": between, "head": head}
        return tuple(
            Part(name=name, macs=self.macs(nodes), parameters=counts[name])
            for name, nodes in parts.items()
        )


class _Meter(fx.Interpreter):
    """Runs a graph node by node and notes what each costs and the shape it gives."""

    def __init__(self, traced: fx.GraphModule, count: Count) -> None:
        super().__init__(traced)
        self.extra_traceback = False
        self._count = count
        self.macs: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        before = self._count.macs
        result = super().run_node(n)
        self.macs[n.name] = self._count.macs - before
        if isinstance(result, Tensor):
            self.shapes[n.name] = tuple(result.shape)
            return result.detach()  # else what gradients would need stays in memory to the end
        return result
