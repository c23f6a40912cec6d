"""Where trials run: which devices, and how many trials share them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from autodepth.errors import BudgetError, InputError
from autodepth.study.cluster.nodes import Node
from autodepth.study.plan.resource_request import ResourceRequest
from autodepth.trial.device.device import choose_device
from autodepth.units import Device


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Trials at the same time, and what each of them reserves.

    Args:
        device: kind of device that trials compute on and that is charged.
        count: trials at the same time.
        cpus: CPUs per trial.
        gpus: GPUs per trial; a share of one puts several trials on it.
        ranks: processes that train one trial together, each on its part of those.
        per_trial: what was wished for, as it was written; empty without a wish.
    """

    device: Device
    count: int
    cpus: float
    gpus: float
    ranks: int = 1
    per_trial: str = ""

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
        """CPU threads of one process of a trial."""
        return max(1, int(self.cpus / self.ranks))

    @property
    def bundles(self) -> list[dict[str, float]]:
        """What each process of a trial reserves, in Ray's words."""
        return [{"CPU": self.cpus / self.ranks, "GPU": self.gpus / self.ranks}] * self.ranks

    @property
    def whole_gpus(self) -> int:
        """On how many GPUs all trials together are."""
        return (
            math.ceil(self.count / _room(1, self.gpus))
            if 0 < self.gpus < 1
            else round(self.count * self.gpus)
        )


def choose_resources(
    charged: Device | None,
    concurrency: int | None = None,
    nodes: Sequence[Node] = (),
    per_trial: ResourceRequest | None = None,
) -> Resources:
    """Return where trials run on this machine, or on the nodes of a cluster.

    Trials take GPUs where there are any, unless the budget is one of CPU time. Without a wish
    there is one trial per device.

    Args:
        charged: the kind of device whose time the budget is of; None where it is of none.
        concurrency: trials at the same time; None for as many as there is room for.
        nodes: of a cluster; none for this machine.
        per_trial: what one trial reserves; None leaves it open.

    Raises:
        BudgetError: the budget is one of GPU time and there is no GPU.
        InputError: the wishes do not fit each other or what is there.
    """
    wish = per_trial or ResourceRequest()
    machines = [(node.cpus, node.gpus) for node in nodes] or [_this_machine()]
    where = "the cluster" if nodes else "this machine"
    any_gpu = any(gpus for _, gpus in machines)
    if charged == "gpu" and not any_gpu:
        having = "no node of the cluster has one" if nodes else "this machine has none"
        raise BudgetError(
            f"a budget in gpu time needs a GPU, and {having}; write cpu-h or cpu-min in its place"
        )
    device: Device = charged or ("gpu" if any_gpu else "cpu")
    if device == "cpu" and wish.gpus is not None:
        reason = "the budget is one of CPU time" if charged else f"{where} has none"
        raise InputError(f"a trial can reserve GPUs where it computes on them, but {reason}")
    cpus = sum(count for count, _ in machines)
    if concurrency is not None and not 1 <= concurrency <= cpus:
        raise InputError(
            f"concurrency must be in [1, {cpus}] (CPUs of {where}), but got {concurrency}"
        )
    if device == "cpu":
        machines = [(count, 0) for count, _ in machines]
    return allocate(device, machines, concurrency=concurrency, wish=wish, where=where)


def _this_machine() -> tuple[int, int]:
    """Return its CPUs and GPUs."""
    gpus = torch.cuda.device_count() if choose_device().type == "cuda" else 0
    return len(os.sched_getaffinity(0)), gpus


def allocate(
    device: Device,
    machines: Sequence[tuple[int, int]],
    *,
    concurrency: int | None,
    wish: ResourceRequest,
    where: str = "this machine",
) -> Resources:
    """Return how trials share the devices of machines, each trial on one of them.

    Args:
        device: what is charged.
        machines: CPUs and GPUs of each; no GPUs where trials compute on CPUs.
        concurrency: trials at the same time; None for as many as there is room for.
        wish: what one trial reserves; what it leaves open is shared out evenly.
        where: the machines in words.

    Raises:
        InputError: there is not so much.
    """
    cpus, gpus = (sum(each) for each in zip(*machines, strict=True))
    # A trial that is not told to does not take two GPUs: its network may not need them.
    share = wish.gpus or 1 / math.ceil(max(concurrency or 1, gpus) / max(1, gpus))
    least = wish.cpus or wish.ranks
    # Without a wish GPUs decide, however few CPUs there are beside them.
    by_cpus = not gpus or wish.cpus is not None or wish.ranks > 1
    room = sum(
        min([*([_room(g, share)] if gpus else []), *([c // least] if by_cpus else [])])
        for c, g in machines
    )
    wanted = concurrency or 1
    if room < wanted:
        there = f"{cpus} CPUs" + (f" and {gpus} GPUs" if gpus else "")
        raise InputError(
            f"{wanted} {'trials' if wanted > 1 else 'trial'} of {wish} must fit into {where} "
            f"at a time, but it has {there}: room for {room}"
        )
    count = concurrency or room
    return Resources(
        device=device,
        count=count,
        cpus=float(
            wish.cpus or (min(wish.ranks, cpus / count) if gpus else _most_cpus(machines, count))
        ),
        gpus=float(share) if gpus else 0.0,
        ranks=wish.ranks,
        per_trial=str(wish),
    )


def _most_cpus(machines: Sequence[tuple[int, int]], trials: int) -> int:
    """Return the most CPUs of which the machines together have room for all trials."""
    most = max(cpus for cpus, _ in machines)
    return next(c for c in range(most, 0, -1) if sum(cpus // c for cpus, _ in machines) >= trials)


def _room(gpus: int, each: float) -> int:
    """Return how many trials have room on so many GPUs; shares of one do not lie across two."""
    return gpus // int(each) if each >= 1 else gpus * int(1 / each + 1e-9)
