"""A network whose residual branches are known, numbered and removable."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from autodepth.errors import NetworkError
from autodepth.networks.cost import counting, evaluating
from autodepth.networks.tracing import (
    ResidualSite,
    find_residual_sites,
    forbid_inplace_after,
    trace,
)


@dataclass(frozen=True, kw_only=True)
class ResidualBranch:
    """The part f_l of x + f_l(x), with what removing it saves.

    Args:
        index: number l of the branch, 1..L from the input; it stays when others are removed.
        module: qualified name of the module that does the addition.
        stage: branches of one output shape form a stage, numbered from 1.
        shortcut: `identity`, or `projection` for anything that changes the value.
        macs: multiply-accumulates per image inside the branch.
        parameters: parameters inside the branch.
        obstacle: why the branch cannot be removed; empty if it can.
    """

    index: int
    module: str
    stage: int
    shortcut: Literal["identity", "projection"]
    macs: int
    parameters: int
    obstacle: str = ""

    @property
    def removable(self) -> bool:
        """Whether dropping the branch leaves a valid network."""
        return not self.obstacle


class ResidualNetwork:
    """A traced network and its residual branches.

    `module` is an ordinary `nn.Module` that computes what the original did, under the same module
    names and state-dict keys, with the same parameter objects.

    Args:
        module: a traced network.
        sites: its residual additions.
        branches: one description per site, in the same order.
        total_macs: multiply-accumulates per image of the whole network.
        input_shape: (C, H, W) of the images it was measured for.
        removed: numbers of the branches that are gone already.
    """

    def __init__(
        self,
        module: fx.GraphModule,
        *,
        sites: Sequence[ResidualSite],
        branches: Sequence[ResidualBranch],
        total_macs: int,
        input_shape: tuple[int, int, int],
        removed: Collection[int] = (),
    ) -> None:
        self.module = module
        self.sites = tuple(sites)
        self.branches = tuple(branches)
        self.total_macs = total_macs
        self.input_shape = input_shape
        self.removed = tuple(sorted(removed))

    @classmethod
    def from_module(cls, module: nn.Module, input_shape: tuple[int, int, int]) -> ResidualNetwork:
        """Find the residual branches of a network on the CPU and measure them on one image.

        Args:
            module: any network that `torch.fx` can trace.
            input_shape: (C, H, W) of one image.

        Raises:
            NetworkError: the network cannot be traced, run on that shape, counted, or has no
                residual branch.
        """
        traced = trace(module)
        sites = find_residual_sites(traced)
        if not sites:
            raise NetworkError(
                f"{type(module).__name__} has no residual branch that can be dropped"
            )
        nodes = {node.name: node for node in traced.graph.nodes}
        for site in sites:
            forbid_inplace_after(traced, nodes[site.addition])
        traced.recompile()
        costs, shapes = _measure(traced, input_shape)
        return cls(
            traced,
            sites=sites,
            branches=_describe(traced, sites, costs, shapes),
            total_macs=sum(costs.values()),
            input_shape=input_shape,
        )

    @property
    def num_stages(self) -> int:
        """Number of stages of the network before any removal."""
        return max(branch.stage for branch in self.branches)

    @property
    def total_parameters(self) -> int:
        """Number of parameters of the network."""
        return sum(p.numel() for p in self.module.parameters())

    def kept(self) -> tuple[tuple[ResidualBranch, ResidualSite], ...]:
        """Return the branches that are still there, each with its place in the graph."""
        pairs = zip(self.branches, self.sites, strict=True)
        return tuple((b, s) for b, s in pairs if b.index not in self.removed)

    def without(self, removed: Collection[int]) -> ResidualNetwork:
        """Return a new, smaller network that lacks some branches: their nodes, modules, weights.

        What remains is copied, so the two networks share nothing. A projection block keeps its
        shortcut.

        Args:
            removed: numbers of branches to remove.

        Raises:
            NetworkError: a number is no branch of this network, or is gone already.
        """
        places = {branch.index: (branch, site) for branch, site in self.kept()}
        if missing := sorted(set(removed) - set(places)):
            raise NetworkError(f"no branch {missing} to remove; this network has {sorted(places)}")
        if stuck := [b for b, _ in places.values() if b.index in removed and b.obstacle]:
            raise NetworkError(f"branch {stuck[0].index} cannot be removed: {stuck[0].obstacle}")
        module = copy.deepcopy(self.module)
        nodes = {node.name: node for node in module.graph.nodes}
        for index in removed:
            site = places[index][1]
            nodes[site.addition].replace_all_uses_with(nodes[site.shortcut])
            module.graph.erase_node(nodes[site.addition])
            for name in reversed(site.branch_nodes):
                module.graph.erase_node(nodes[name])
        module.delete_all_unused_submodules()
        module.recompile()
        saved = sum(places[index][0].macs for index in removed)
        return ResidualNetwork(
            module,
            sites=_passed_on(self.sites, {places[index][1] for index in removed}),
            branches=self.branches,
            total_macs=self.total_macs - saved,
            input_shape=self.input_shape,
            removed={*self.removed, *removed},
        )


def _passed_on(
    sites: Sequence[ResidualSite], gone: Collection[ResidualSite]
) -> tuple[ResidualSite, ...]:
    """Return the sites with names of additions that are gone replaced by what took their place."""
    heirs: dict[str, str] = {}
    for site in sites:  # from the input on, so an heir is final when it is noted
        if site in gone:
            heirs[site.addition] = heirs.get(site.shortcut, site.shortcut)
    return tuple(
        ResidualSite(
            addition=site.addition,
            fork=heirs.get(site.fork, site.fork),
            shortcut=heirs.get(site.shortcut, site.shortcut),
            branch=site.branch,
            branch_nodes=site.branch_nodes,
            identity=site.identity,
            block=site.block,
        )
        for site in sites
    )


class _Meter(fx.Interpreter):
    """Runs a graph node by node and notes what each costs and the shape it gives."""

    def __init__(self, traced: fx.GraphModule, macs_so_far: Any) -> None:
        super().__init__(traced)
        self._macs_so_far = macs_so_far
        self.costs: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        before = self._macs_so_far()
        result = super().run_node(n)
        self.costs[n.name] = self._macs_so_far() - before
        if isinstance(result, Tensor):
            self.shapes[n.name] = tuple(result.shape)
        return result


def _measure(
    traced: fx.GraphModule, input_shape: tuple[int, int, int]
) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
    with evaluating(traced), counting() as macs_so_far:
        meter = _Meter(traced, macs_so_far)
        try:
            meter.run(torch.zeros(1, *input_shape))
        except NetworkError:
            raise
        except RuntimeError as error:
            shape = "x".join(map(str, input_shape))
            raise NetworkError(f"the network does not take images of {shape}: {error}") from error
    return meter.costs, meter.shapes


def _describe(
    traced: fx.GraphModule,
    sites: Sequence[ResidualSite],
    costs: dict[str, int],
    shapes: dict[str, tuple[int, ...]],
) -> list[ResidualBranch]:
    nodes = {node.name: node for node in traced.graph.nodes}
    branches: list[ResidualBranch] = []
    stage, previous = 0, None
    for index, site in enumerate(sites, start=1):
        if shapes[site.addition] != previous:
            stage, previous = stage + 1, shapes[site.addition]
        fits = shapes.get(site.shortcut) == shapes[site.addition]
        branches.append(
            ResidualBranch(
                index=index,
                module=site.block,
                stage=stage,
                shortcut="identity" if site.identity else "projection",
                macs=sum(costs[name] for name in site.branch_nodes),
                parameters=_parameters(traced, [nodes[name] for name in site.branch_nodes]),
                obstacle="" if fits else "its shortcut has another shape than the sum",
            )
        )
    return branches


def _parameters(traced: fx.GraphModule, nodes: Sequence[fx.Node]) -> int:
    found: set[nn.Parameter] = set()
    for node in nodes:
        if node.op == "call_module":
            found.update(traced.get_submodule(str(node.target)).parameters())
        elif node.op == "get_attr":  # a parameter read directly, such as a layer scale
            owner, _, name = str(node.target).rpartition(".")
            value = getattr(traced.get_submodule(owner), name)
            found.update({value} if isinstance(value, nn.Parameter) else ())
    return sum(parameter.numel() for parameter in found)
