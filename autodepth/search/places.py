"""Where trials run: which devices, and how many trials share them."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import torch

from autodepth.errors import BudgetError, InputError
from autodepth.search.per_trial import PerTrial
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


def choose_places(
    budget: Budget, concurrency: int | None = None, per_trial: PerTrial | None = None
) -> Places:
    """Return where trials run on this machine.

    Trials take GPUs where there are any, unless the budget is one of CPU time. Without a wish
    there is one trial per device.

    Raises:
        BudgetError: the budget is one of GPU time and there is no GPU.
        InputError: the wishes do not fit each other or this machine.
    """
    wish = per_trial or PerTrial()
    device: Device = "gpu" if choose_device().type == "cuda" else "cpu"
    if budget.device == "gpu" and device == "cpu":
        raise BudgetError(
            "a budget in gpu time needs a GPU, and this machine has none; "
            "write cpu-h or cpu-min in its place"
        )
    device = budget.device or device
    if device == "cpu" and wish.gpus is not None:
        reason = "the budget is one of CPU time" if budget.device else "this machine has none"
        raise InputError(f"a trial can reserve GPUs where it computes on them, but {reason}")
    cpus = len(os.sched_getaffinity(0))
    if concurrency is not None and not 1 <= concurrency <= cpus:
        raise InputError(f"concurrency must be in [1, {cpus}] (CPUs here), but got {concurrency}")
    gpus = torch.cuda.device_count() if device == "gpu" else 0
    return shared_out(device, cpus=cpus, gpus=gpus, concurrency=concurrency, wish=wish)


def shared_out(
    device: Device, *, cpus: int, gpus: int, concurrency: int | None, wish: PerTrial
) -> Places:
    """Return how trials share the devices of one machine.

    Args:
        device: what is charged.
        cpus: how many there are.
        gpus: how many there are; 0 where trials compute on CPUs.
        concurrency: trials at the same time; None for as many as there is room for.
        wish: what one trial reserves; what it leaves open is shared out evenly.

    Raises:
        InputError: there is not so much.
    """
    # A trial that is not told to does not take two GPUs: its network may not need them.
    share = wish.gpus or 1 / math.ceil(max(concurrency or 1, gpus) / max(1, gpus))
    rooms = [cpus // (wish.cpus or wish.ranks)]
    if gpus:
        # Without a wish GPUs decide, however few CPUs there are beside them.
        rooms = [_room(gpus, share), *(rooms if wish.cpus or wish.ranks > 1 else [])]
    wanted, room = concurrency or 1, min(rooms)
    if room < wanted:
        there = f"{cpus} CPUs" + (f" and {gpus} GPUs" if gpus else "")
        raise InputError(
            f"{wanted} {'trials' if wanted > 1 else 'trial'} of {wish} must fit into this machine "
            f"at a time, but it has {there}: room for {room}"
        )
    count = concurrency or room
    return Places(
        device=device,
        count=count,
        cpus=float(wish.cpus or (wish.ranks if gpus else cpus // count)),
        gpus=float(share) if gpus else 0.0,
        ranks=wish.ranks,
        per_trial=str(wish),
    )


def _room(gpus: int, each: float) -> int:
    """Return how many trials have room on so many GPUs; shares of one do not lie across two."""
    return gpus // int(each) if each >= 1 else gpus * int(1 / each + 1e-9)
