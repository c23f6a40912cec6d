"""Latencies measured by turns: what slows the machine down for a while slows all of them.

On one CPU thread the time that this thread computed counts, so other processes do not; on several
threads and on a GPU it is the time that passed.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

import numpy as np
import torch
from torch import nn
from torch.utils.benchmark import Timer
from torch.utils.benchmark.utils.timer import timer as time_that_passed

from autodepth.networks.residual_network import ResidualBranch, ResidualNetwork
from autodepth.networks.running.copying import copied
from autodepth.networks.running.layout import for_convolutions, laid_out
from autodepth.trial.device.device import device_name
from autodepth.trial.device.latency_table import LatencyTable

_SECONDS = 0.2  # for each network
_SHORTEST = 1e-3  # seconds of a timed call, so that reading the clock is nothing beside it
_ROUNDS = (9, 100)


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
    return times_by_turns_ms(calls, on_cpu=device.type == "cpu")


def times_by_turns_ms(calls: Sequence[Callable[[], object]], *, on_cpu: bool) -> list[float]:
    """Return how long each call takes, milliseconds.

    Calls take turns, and each is compared with the first of the same round; the medians of these
    ratios are told in the median time of the first.

    Args:
        calls: what to time.
        on_cpu: whether they compute on the CPU, in as many threads as PyTorch has.
    """
    threads = torch.get_num_threads()
    timers = [
        Timer(
            "run()",
            globals={"run": call},
            num_threads=threads,
            timer=time.thread_time if on_cpu and threads == 1 else time_that_passed,
        )
        for call in calls
    ]
    once = [max(timer.timeit(2).median, 1e-9) for timer in timers]
    numbers = [math.ceil(_SHORTEST / seconds) for seconds in once]
    longest = max(number * seconds for number, seconds in zip(numbers, once, strict=True))
    rounds = min(max(round(_SECONDS / longest), _ROUNDS[0]), _ROUNDS[1])
    taken: list[list[float]] = []
    for turn in range(rounds):
        order = list(range(len(timers)))[:: 1 if turn % 2 else -1]  # nobody is always second
        row = {i: timers[i].timeit(numbers[i]).median for i in order}
        taken.append([row[i] for i in range(len(timers))])
    first = median(row[0] for row in taken)
    return [1e3 * first * median(row[i] / row[0] for row in taken) for i in range(len(timers))]


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


def measure_table(network: ResidualNetwork, device: torch.device, threads: int) -> LatencyTable:
    """Measure what each removable branch adds to the latency of a network.

    Branches of one stage with equal MACs and parameters take equal time. So for each such kind
    the network is measured without all of them and with them alone, besides the whole and the
    barest one, and the times that explain these measurements best are each kind's.

    Args:
        network: the whole network; it is copied.
        device: where to measure.
        threads: CPU threads.
    """
    kinds = _kinds(network.branches)
    everything = frozenset(b.index for b in network.branches if b.removable)
    removals = [frozenset[int](), everything]
    removals += [kind for kind in kinds if kind != everything]
    removals += [everything - kind for kind in kinds if kind != everything]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        modules = [_ready(network, removed, device) for removed in removals]
        times = np.array(latencies_ms(modules, network.input_shape))
    finally:
        torch.set_num_threads(before)
    counts = np.array([[1, *(len(kind - gone) for kind in kinds)] for gone in removals])
    # Relative errors count, so that the small networks say as much as the large ones.
    solution, *_ = np.linalg.lstsq(counts / times[:, None], np.ones(len(times)), rcond=None)
    around, *each = (max(0.0, float(ms)) for ms in solution)
    return LatencyTable(
        device=device_name(device),
        threads=threads,
        whole_ms=float(times[0]),
        around_ms=around,
        branches_ms={n: ms for kind, ms in zip(kinds, each, strict=True) for n in sorted(kind)},
    )


def _kinds(branches: Sequence[ResidualBranch]) -> list[frozenset[int]]:
    kinds: dict[tuple[object, ...], set[int]] = defaultdict(set)
    for branch in branches:
        if branch.removable:
            kinds[branch.stage, branch.macs, branch.parameters].add(branch.index)
    return [frozenset(kind) for kind in kinds.values()]


def _ready(network: ResidualNetwork, removed: frozenset[int], device: torch.device) -> nn.Module:
    smaller = network.without(removed) if removed else network
    module = copied(smaller.module).eval().to(device)
    for_convolutions(module)
    return module
