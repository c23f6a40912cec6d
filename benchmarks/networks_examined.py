"""What is found in one network of the table, and whether it holds."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

import torch
from networks_listed import BRANCH_BY_BRANCH, HF
from torch import nn

from autodepth.errors import BundleError, NetworkError
from autodepth.networks.catalogue import NetworkSpec, build_module
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.pruning.channels.narrowing import find_narrowing
from autodepth.networks.pruning.channels.stream import find_stream
from autodepth.networks.pruning.stream_width import with_stream_width
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.copying import copied
from autodepth.trial.device.runtimes.formats.torch_program import make_program

LIMIT_SECONDS = 900  # for one network, of CPU time: what else the machine does is no fault of it
STREAM_SECONDS = 180  # for what a row lacks about its stream
CHECK_MACS = 1.5e9  # a network is checked further up to this size
SMALL_MACS = 3e8  # beyond this it is built for smaller images first, if it takes them
CHECK_SIZE = 96  # pixels
CHECK_PARAMETERS = 1.5e8  # beyond this a second network and gradients take too much memory
_FORK = multiprocessing.get_context("fork")  # what is imported and seeded is there already


@dataclass(frozen=True, kw_only=True)
class Row:
    """One network of the table."""

    name: str
    size: str
    branches: str = ""
    stages: str = ""
    macs: str = ""
    planning: str = ""
    widths: str = ""
    stream: str = ""
    checks: str = ""
    remark: str = ""

    def __str__(self) -> str:
        known = (self.size, self.branches, self.stages, self.macs, self.planning, self.widths)
        cells = (*known, self.stream, self.checks, self.remark)
        return " | ".join((f"| `{self.name}`", *cells)) + " |"

    @property
    def found(self) -> bool:
        """Whether branches were found."""
        return "+" in self.branches


def examine_apart(spec: NetworkSpec) -> Row:
    """Examine a network in a process of its own, whose memory goes back when it ends."""
    row, failure = _apart(_examined, spec, seconds=LIMIT_SECONDS)
    if row is not None:
        return row
    return Row(name=_name(spec), size=_size(spec), branches="none", remark=f"FAILED {failure}")


def add_stream_apart(spec: NetworkSpec, row: Row) -> Row:
    """Return a row with what the network's stream does, found out in a process of its own."""
    told, failure = _apart(_with_stream, spec, row, seconds=STREAM_SECONDS)
    told = told or row
    if failure.startswith("no end"):
        return replace(told, stream=f"{told.stream}; not tried, {failure}".lstrip("; "))
    return replace(told, stream=f"FAILED {failure}") if failure else told


def _apart(
    work: Callable[..., Iterator[Row]], *values: object, seconds: int
) -> tuple[Row | None, str]:
    """Return the last row that work yields in a process of its own, and how it failed if it did."""
    receiver, sender = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_send, args=(sender, seconds, work, *values))
    process.start()
    sender.close()
    row: Row | None = None
    with contextlib.suppress(EOFError):
        while True:
            row = receiver.recv()
    process.join()
    if process.exitcode == -signal.SIGXCPU:
        return row, f"no end within {seconds} s of CPU time"
    return row, "to run" if process.exitcode else ""  # it printed why


def examine(spec: NetworkSpec) -> Row:
    """Find, measure and check one network."""
    row = Row(name=_name(spec), size=_size(spec))
    try:
        module = build_module(spec)
        start = time.process_time()
        network = ResidualNetwork.from_module(module, spec.input_shape, classes=spec.classes)
    except NetworkError as error:
        return replace(row, branches="none", remark=str(error).replace("|", "/"))
    identity = sum(branch.shortcut == "identity" for branch in network.branches)
    obstacles = sorted({b.obstacle for b in network.branches if b.obstacle})
    row = replace(
        row,
        branches=f"{identity}+{len(network.branches) - identity}",
        stages=str(network.num_stages),
        macs=f"{network.total_macs / 1e6:,.0f}",
        remark="; ".join([*network.notes, *obstacles]).replace("|", "/"),
        checks=_told("sum", holds=adds_up(network)),
    )
    widths = narrowed(network)
    row = replace(row, widths=widths, planning=f"{time.process_time() - start:.1f}")
    row = replace(row, stream=stream(network))
    if (small := small_enough(spec, module, network)) is None:
        return row
    return replace(row, checks=" ".join((*checks(*small, row.name), row.checks)))


def _examined(spec: NetworkSpec) -> Iterator[Row]:
    yield examine(spec)


def _with_stream(spec: NetworkSpec, row: Row) -> Iterator[Row]:
    """Yield a row with what is found of the stream, then with whether it trains narrower."""
    module = build_module(spec)
    network = ResidualNetwork.from_module(module, spec.input_shape, classes=spec.classes)
    row = replace(row, stream=stream(network))
    yield row
    small = small_enough(spec, module, network)
    if small is not None and find_stream(small[1]).groups:
        held = _told("stream", holds=narrower_streams_train(small[1], images_of(small[1])))
        yield replace(row, checks=f"{row.checks.removesuffix('sum')}{held} sum")


def small_enough(
    spec: NetworkSpec, module: nn.Module, network: ResidualNetwork
) -> tuple[nn.Module, ResidualNetwork] | None:
    """Return the network as it is checked further, on smaller images if it must be."""
    if network.total_parameters > CHECK_PARAMETERS:
        return None
    if network.total_macs > SMALL_MACS:
        module, network = smaller(spec) or (module, network)
    return None if network.total_macs > CHECK_MACS else (module, network)


def images_of(network: ResidualNetwork) -> torch.Tensor:
    """Return the same two random images every time."""
    return torch.randn(2, *network.input_shape, generator=torch.Generator().manual_seed(1))


def narrowed(network: ResidualNetwork) -> str:
    """Return how many branches can be made narrower, and why others cannot, having tried it."""
    found = find_narrowing(network)
    narrow = prune_width(network, 0.5, found)
    if bool(found.groups) != (narrow.total_macs < network.total_macs):
        return "FAILED"
    count = len(network.branches) - len(found.left_alone)
    reasons = sorted(set(found.left_alone.values()))
    return f"{count} of {len(network.branches)}" + "".join(f"; {r}" for r in reasons)


def stream(network: ResidualNetwork) -> str:
    """Return in how many stages the residual stream can be narrower, and why not in others."""
    found = find_stream(network)
    reasons = sorted(set(found.stay.values()))
    text = f"{len(found.groups)} of {network.num_stages}" + "".join(f"; {r}" for r in reasons)
    return text.replace("|", "/")


def narrower_streams_train(network: ResidualNetwork, images: torch.Tensor) -> bool:
    """Whether it runs forward and backward at two widths of its stream, and costs less."""
    found = find_stream(network)
    stages = [stage for stage, width in found.widths.items() if width > found.units[stage]]
    for share in (0.5, 0.25):
        narrow = with_stream_width(network, dict.fromkeys(stages, share))
        narrow.module.train()
        narrow.module(images).sum().backward()
        if stages and narrow.total_macs >= network.total_macs:
            return False
        gc.collect()
    return True


def smaller(spec: NetworkSpec) -> tuple[nn.Module, ResidualNetwork] | None:
    """Build the network for smaller images, if it allows that."""
    spec = replace(spec, height=CHECK_SIZE, width=CHECK_SIZE)
    if spec.name.startswith("torchvision:vit"):
        spec = replace(spec, arguments={"image_size": CHECK_SIZE})
    try:
        module = build_module(spec)
        return module, ResidualNetwork.from_module(module, spec.input_shape)
    except (NetworkError, AssertionError, RuntimeError):
        return None


def checks(module: nn.Module, network: ResidualNetwork, name: str) -> Iterator[str]:
    """Yield the name of each check, with FAILED after those that fail."""
    images = images_of(network)
    yield _told("same", holds=same(module, network, images))
    if name in BRANCH_BY_BRANCH or name in HF:
        yield _told("bypass", holds=removing_is_bypassing(network, images[:1]))
        yield _told("zero", holds=removing_is_zeroing(network, images[:1]))
        yield _told("export", holds=exports(network))
    yield _told("thin", holds=thinned_trains(network, images))
    if find_stream(network).groups:
        yield _told("stream", holds=narrower_streams_train(network, images))
    if not adds_up(network):
        yield "sum FAILED"


@torch.no_grad()
def same(module: nn.Module, network: ResidualNetwork, images: torch.Tensor) -> bool:
    """Whether the graph computes what the original computes."""
    return torch.equal(module.eval()(images), network.module.eval()(images))


@torch.no_grad()
def removing_is_bypassing(network: ResidualNetwork, images: torch.Tensor) -> bool:
    """Whether each identity branch leaves the same network, removed or left out."""
    gated = GatedNetwork(network)
    gated.eval()
    for branch in network.branches:
        if branch.shortcut == "identity" and branch.removable:
            gated.bypass(branch.index)
            removed = network.without([branch.index]).module.eval()
            if not torch.equal(gated(images), removed(images)):
                return False
            del removed
            gc.collect()  # a graph and its module hold each other: copies would pile up
    return True


@torch.no_grad()
def removing_is_zeroing(network: ResidualNetwork, images: torch.Tensor) -> bool:
    """Whether each identity branch leaves what the whole graph gives with zeros in its place."""
    for branch, site in network.kept():
        if branch.shortcut != "identity" or not branch.removable:
            continue
        by_hand = copied(network.module).eval()
        nodes = {node.name: node for node in by_hand.graph.nodes}
        with by_hand.graph.inserting_before(nodes[site.addition]):
            zeros = by_hand.graph.call_function(torch.zeros_like, (nodes[site.branch],))
        nodes[site.addition].replace_input_with(nodes[site.branch], zeros)
        by_hand.recompile()
        removed = network.without([branch.index]).module.eval()
        if not torch.equal(by_hand(images), removed(images)):
            return False
        del by_hand, removed
        gc.collect()
    return True


def thinned_trains(network: ResidualNetwork, images: torch.Tensor) -> bool:
    """Whether one branch per stage runs, trains, and reloads with the same keys."""
    last = {branch.stage: branch.index for branch in network.branches}
    gone = [b.index for b in network.branches if b.removable and b.index != last[b.stage]]
    thin = network.without(gone)
    thin.module.train()
    thin.module(images).sum().backward()
    kept = thin.module.state_dict()
    again = network.without(gone).module
    again.load_state_dict(kept)
    return set(kept) <= set(network.module.state_dict()) and any(
        parameter.grad is not None for parameter in thin.module.parameters()
    )


def exports(network: ResidualNetwork) -> bool:
    """Whether torch.export gets through the network."""
    try:
        make_program(copied(network.module).eval(), network.input_shape)
    except BundleError:
        return False
    return True


def adds_up(network: ResidualNetwork) -> bool:
    """Whether the parts are the whole."""
    parts = [*network.branches, *network.around]
    return (sum(p.macs for p in parts), sum(p.parameters for p in parts)) == (
        network.total_macs,
        network.total_parameters,
    )


def _send(
    sender: Connection, seconds: int, work: Callable[..., Iterator[Row]], *values: object
) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, 2 * seconds))
    for row in work(*values):
        sender.send(row)


def _told(check: str, *, holds: bool) -> str:
    return check if holds else f"{check} FAILED"


def _name(spec: NetworkSpec) -> str:
    return spec.name.partition(":")[2]


def _size(spec: NetworkSpec) -> str:
    return "x".join(map(str, spec.input_shape))
