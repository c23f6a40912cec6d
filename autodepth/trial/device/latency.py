"""Latencies measured by turns: what slows the machine down for a while slows all of them.

On one CPU thread the time that this thread computed counts, so other processes do not; on several
threads and on a GPU it is the time that passed.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.utils.benchmark.utils.timer import timer as time_that_passed

from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualBranch, ResidualNetwork
from autodepth.networks.running.copying import copied
from autodepth.networks.running.layout import for_convolutions, laid_out
from autodepth.trial.device.device import device_name
from autodepth.trial.device.latency_table import LatencyTable
from autodepth.trial.device.threads import on_threads
from autodepth.trial.device.turns import Clock, times_by_turns


@torch.inference_mode()
def latencies_ms(
    modules: Sequence[nn.Module], input_shape: tuple[int, ...], batch: int = 1
) -> list[float]:
    """Return the latency of each network, milliseconds.

    Args:
        modules: networks in evaluation mode, all on one device.
        input_shape: (C, H, W) of the images.
        batch: images per pass.
    """
    device = next(modules[0].parameters()).device
    images = torch.zeros(batch, *input_shape, device=device)
    images = laid_out(images)
    calls = [partial(module, images) for module in modules]
    return [found.ms for found in times_by_turns(calls, clock_of(device))]


def clock_of(device: torch.device) -> Clock:
    """Return what times a device: of one CPU thread its own time, else the time that passed."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.thread_time if alone else time_that_passed


def own_latency_ms(network: ResidualNetwork) -> float:
    """Return the latency of one image through a network alone, milliseconds, on its device."""
    return latencies_ms([network.module], network.input_shape)[0]


def latency_beside(
    network: ResidualNetwork, whole: ResidualNetwork, table: LatencyTable | None
) -> float | None:
    """Return a network's latency, milliseconds, as it would be where the table was measured.

    It takes turns with the whole network, so other work on the device does not count.

    Args:
        network: in evaluation mode, on its device.
        whole: the network that the table is of, on the same device.
        table: has the whole network's latency; None where nothing asks for latencies, and then
            nothing is measured.
    """
    if table is None:
        return None
    modules = [whole.module.eval(), network.module]
    beside, own = latencies_ms(modules, network.input_shape)
    return own / beside * table.whole_ms


def measure_table(
    network: ResidualNetwork, device: torch.device, threads: int, widths: Sequence[float] = ()
) -> LatencyTable:
    """Measure in PyTorch what each removable branch adds to the latency of a network.

    Args:
        network: the whole network; it is copied.
        device: where to measure.
        threads: CPU threads.
        widths: see `fit_table`.
    """

    def measure(networks: Sequence[ResidualNetwork]) -> list[float]:
        return latencies_ms([_ready(n, device) for n in networks], network.input_shape)

    with on_threads(threads):
        return fit_table(network, measure, device_name(device), threads, widths)


def fit_table(
    network: ResidualNetwork,
    measure: Callable[[Sequence[ResidualNetwork]], Sequence[float]],
    device: str,
    threads: int,
    widths: Sequence[float] = (),
) -> LatencyTable:
    """Measure what each removable branch adds to the latency of a network.

    Branches of one stage with equal MACs and parameters take equal time. So for each such kind
    the network is measured without all of them and with them alone, besides the whole and the
    barest one, and the times that explain these measurements best are each kind's: runtimes fuse
    layers across branches, so none is timed by itself. No kind takes less than nothing, as noise
    would have it.

    Args:
        network: the whole network; left as it is.
        measure: returns the latency of networks in evaluation mode, milliseconds, by turns.
        device: what to call the place.
        threads: CPU threads there.
        widths: shares of inner channels, below 1, to measure kinds at besides.
    """
    from scipy.optimize import nnls  # noqa: PLC0415 - a second, and trials fit nothing

    kinds = _kinds(network.branches)
    everything = frozenset(b.index for b in network.branches if b.removable)
    each_alone = [everything - kind for kind in kinds if kind != everything]
    removals = [frozenset[int](), everything, *(k for k in kinds if k != everything), *each_alone]
    variants = [(gone, 1.0) for gone in removals]
    variants += [(gone, width) for width in widths for gone in (frozenset[int](), *each_alone)]
    times = np.array(measure([_variant(network, *variant) for variant in variants]))
    shares = (1.0, *widths)
    counts = np.array(
        [
            [1, *(len(kind - gone) * (share == width) for share in shares for kind in kinds)]
            for gone, width in variants
        ]
    )
    # Relative errors count, so that the small networks say as much as the large ones.
    (around, *each), _ = nnls(counts / times[:, None], np.ones(len(times)))
    found = {
        share: {
            n: float(ms) for kind, ms in zip(kinds, of_kinds, strict=True) for n in sorted(kind)
        }
        for share, of_kinds in zip(shares, np.reshape(each, (len(shares), -1)), strict=True)
    }
    return LatencyTable(
        device=device,
        threads=threads,
        whole_ms=float(times[0]),
        around_ms=float(around),
        branches_ms=found.pop(1.0),
        narrow_ms=found,
    )


def _kinds(branches: Sequence[ResidualBranch]) -> list[frozenset[int]]:
    kinds: dict[tuple[object, ...], set[int]] = defaultdict(set)
    for branch in branches:
        if branch.removable:
            kinds[branch.stage, branch.macs, branch.parameters].add(branch.index)
    return [frozenset(kind) for kind in kinds.values()]


def _variant(network: ResidualNetwork, gone: frozenset[int], width: float) -> ResidualNetwork:
    smaller = network.without(gone) if gone else network
    return prune_width(smaller, 1 - width) if width < 1 else smaller


def _ready(network: ResidualNetwork, device: torch.device) -> nn.Module:
    module = copied(network.module).eval().to(device)
    for_convolutions(module)
    return module
