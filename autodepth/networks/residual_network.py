"""A network whose residual branches are known, numbered and removable."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import fx, nn

from autodepth.errors import NetworkError
from autodepth.networks.reading.branch_costs import Measured, Part
from autodepth.networks.reading.read import read_network
from autodepth.networks.running.as_given import as_given
from autodepth.networks.running.causes import told_not_finite, told_output
from autodepth.networks.running.copying import copied
from autodepth.networks.running.one_thread import one_thread
from autodepth.networks.tracing.sites.residual_sites import ResidualSite
from autodepth.networks.tracing.trace import drop_unread


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
        around: what the parts that are no branch cost, before any removal.
        notes: where branches could not be looked for and why, and what else there is to know of
            the network, a sentence each.
        free: names of what counts as 0 multiply-accumulates.
        off_by: how far its outputs were from those of the network given, before any removal, as a
            share of the largest.
        read_on: (C, H, W) of images that its graph takes: smaller ones than `input_shape` where it
            computes the same at any size, which is faster to try out. None if only those are known.
        channel_multiple: what a layer's channels are multiples of once some have gone, where it
            has more than that.
    """

    def __init__(  # noqa: PLR0913 - what is known of it, by keyword
        self,
        module: fx.GraphModule,
        *,
        sites: Sequence[ResidualSite],
        branches: Sequence[ResidualBranch],
        total_macs: int,
        input_shape: tuple[int, ...],
        removed: Collection[int] = (),
        around: Sequence[Part] = (),
        notes: Sequence[str] = (),
        free: Sequence[str] = (),
        off_by: float = 0.0,
        read_on: tuple[int, ...] | None = None,
        channel_multiple: int = 1,
    ) -> None:
        self.module = module
        self.sites = tuple(sites)
        self.branches = tuple(branches)
        self.total_macs = total_macs
        self.input_shape = input_shape
        self.removed = tuple(sorted(removed))
        self.around = tuple(around)
        self.notes = tuple(notes)
        self.free = tuple(free)
        self.off_by = off_by
        self.read_on = read_on or input_shape
        self.channel_multiple = channel_multiple

    @classmethod
    @one_thread
    def from_module(
        cls,
        module: nn.Module,
        input_shape: tuple[int, ...],
        *,
        classes: int | None = None,
        free: Sequence[str] = (),
        notes: Sequence[str] = (),
        channel_multiple: int = 1,
    ) -> ResidualNetwork:
        """Find the residual branches of a network on the CPU and measure them on one image.

        Args:
            module: any network that is called as `module(images)` and can be traced.
            input_shape: (C, H, W) of one image.
            classes: how many scores it has to give per image, or per pixel of a map; None takes
                any output.
            free: names of operators, functions and classes that count as 0 multiply-accumulates,
                see `autodepth.networks.costs.cost.counting`.
            notes: what is known about it already.
            channel_multiple: what channels are multiples of once some have gone.

        Raises:
            NetworkError: the network cannot be traced, run on that shape, counted, gives another
                number of scores, has no residual branch, is another one when read, or does not call
                what is free.
        """
        given = as_given(module, input_shape)
        module = given.module
        read = read_network(module, input_shape)
        measured = Measured(read.module, input_shape, free)
        if uncalled := sorted({*free} - measured.called_free):
            raise NetworkError(
                f"free must name operators, functions or classes that {type(module).__name__} "
                f"calls as one, but it does not call {', '.join(uncalled)}: mark a function with "
                "torch.fx.wrap, or name the operators inside it"
            )
        counted = [f"counted as free, as said: {', '.join(free)}"] if free else []
        shape = tuple(getattr(measured.output, "shape", ()))
        if classes is not None and (shape[:2] != (1, classes) or len(shape) not in {2, 4}):
            raise NetworkError(
                f"{type(module).__name__} must give {classes} scores per image, but gave "
                f"{told_output(measured.output)}"
            )
        not_finite = told_not_finite(read.module, input_shape, measured.output)
        return cls(
            read.module,
            sites=read.sites,
            branches=_describe(read.sites, measured),
            total_macs=measured.total_macs,
            input_shape=input_shape,
            around=measured.around(read.sites),
            notes=[*notes, *given.notes, *read.notes, *not_finite, *counted],
            free=free,
            off_by=read.off_by,
            read_on=read.compared_on,
            channel_multiple=channel_multiple,
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
        module = copied(self.module)
        unread = [node.name for node in module.graph.nodes if not node.users]
        nodes = {node.name: node for node in module.graph.nodes}
        for index in sorted(removed, reverse=True):  # what a shortcut comes from is still there
            site = places[index][1]
            nodes[site.addition].replace_all_uses_with(nodes[site.shortcut])
            module.graph.erase_node(nodes[site.addition])
            for name in reversed(site.branch_nodes):
                module.graph.erase_node(nodes[name])
        drop_unread(module, unread)
        saved = sum(places[index][0].macs for index in removed)
        return ResidualNetwork(
            module,
            sites=_passed_on(self.sites, {places[index][1] for index in removed}),
            branches=self.branches,
            total_macs=self.total_macs - saved,
            input_shape=self.input_shape,
            removed={*self.removed, *removed},
            around=self.around,
            notes=self.notes,
            free=self.free,
            off_by=self.off_by,
            read_on=self.read_on,
            channel_multiple=self.channel_multiple,
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


def _describe(sites: Sequence[ResidualSite], measured: Measured) -> list[ResidualBranch]:
    shapes = measured.shapes
    stages: dict[tuple[int, ...], int] = {}
    return [
        ResidualBranch(
            index=index,
            module=site.block,
            stage=stages.setdefault(shapes[site.addition], len(stages) + 1),
            shortcut="identity" if site.identity else "projection",
            macs=measured.macs(site.branch_nodes),
            parameters=measured.parameters(site.branch_nodes),
            obstacle=""
            if shapes.get(site.shortcut) == shapes[site.addition]
            else "its shortcut has another shape than the sum",
        )
        for index, site in enumerate(sites, start=1)
    ]
