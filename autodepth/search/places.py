"""Where trials run: which devices, and how many trials share them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from autodepth.errors import BudgetError, InputError
from autodepth.search.cluster_nodes import Node
from autodepth.trial.device import choose_device
from autodepth.units import Budget, Device


@dataclass(frozen=True, kw_only=True)
class Places:
    """Trials at the same time, and what each of them reserves.

    Args:
        device: kind of device that trials compute on and that is charged.
        count: trials at the same time.
        cpus: CPUs per trial.
        gpus: GPUs per trial; a share of one puts several trials on it.
        pooled: whether all places are of one machine, so that a trial may compute on several.
    """

    device: Device
    count: int
    cpus: float
    gpus: float
    pooled: bool = True

    @property
    def devices(self) -> float:
        """Devices reserved together, of the kind that is charged."""
        return self.count * (self.gpus if self.device == "gpu" else self.cpus)

    @property
    def torch_device(self) -> torch.device:
        """The device of one trial."""
        return torch.device("cuda" if self.device == "gpu" else "cpu")

    @property
    def threads(self) -> int:
        """CPU threads of one trial."""
        return max(1, int(self.cpus))


def choose_places(
    budget: Budget, concurrency: int | None = None, nodes: Sequence[Node] = ()
) -> Places:
    """Return where trials run on this machine, or on the nodes of a cluster.

    Trials take GPUs where there are any, unless the budget is one of CPU time. Without a wish
    there is one trial per device.

    Raises:
        BudgetError: the budget is one of GPU time and there is no GPU.
        InputError: more trials at a time than there are CPUs.
    """
    if nodes:
        return _places_on(nodes, budget, concurrency)
    device: Device = "gpu" if choose_device().type == "cuda" else "cpu"
    if budget.device == "gpu" and device == "cpu":
        raise BudgetError(
            "a budget in gpu time needs a GPU, and this machine has none; "
            "write cpu-h or cpu-min in its place"
        )
    device = budget.device or device
    cpus = len(os.sched_getaffinity(0))
    if concurrency is not None and not 1 <= concurrency <= cpus:
        raise InputError(f"concurrency must be in [1, {cpus}] (CPUs here), but got {concurrency}")
    if device == "cpu":
        count = concurrency or cpus
        return Places(device=device, count=count, cpus=cpus // count, gpus=0.0)
    gpus = torch.cuda.device_count()
    count = concurrency or gpus
    # Several trials may share a GPU, but one trial does not take two: it could not use them.
    return Places(device=device, count=count, cpus=1.0, gpus=min(1.0, gpus / count))


def _places_on(nodes: Sequence[Node], budget: Budget, concurrency: int | None) -> Places:
    cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    if budget.device == "gpu" and not gpus:
        raise BudgetError(
            "a budget in gpu time needs a GPU, and no node of the cluster has one; "
            "write cpu-h or cpu-min in its place"
        )
    device: Device = budget.device or ("gpu" if gpus else "cpu")
    if concurrency is not None and not 1 <= concurrency <= cpus:
        raise InputError(
            f"concurrency must be in [1, {cpus}] (CPUs of the cluster), but got {concurrency}"
        )
    if device == "cpu":
        count = concurrency or cpus
        # A trial stays on one node: the most CPUs of which the nodes together have room for all.
        most = max(node.cpus for node in nodes)
        each = next(c for c in range(most, 0, -1) if sum(n.cpus // c for n in nodes) >= count)
        pooled = all(node.here for node in nodes)
        return Places(device=device, count=count, cpus=each, gpus=0.0, pooled=pooled)
    count = concurrency or gpus
    share = 1.0 / math.ceil(count / gpus)
    return Places(device=device, count=count, cpus=min(1.0, cpus / count), gpus=share, pooled=False)
