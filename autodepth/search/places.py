"""Where trials run: which devices, and how many trials share them."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from autodepth.errors import BudgetError, InputError
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
    """

    device: Device
    count: int
    cpus: float
    gpus: float

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


def choose_places(budget: Budget, concurrency: int | None = None) -> Places:
    """Return where trials run on this machine.

    Trials take GPUs where there are any, unless the budget is one of CPU time. Without a wish
    there is one trial per device.

    Raises:
        BudgetError: the budget is one of GPU time and there is no GPU.
        InputError: more trials at a time than there are CPUs.
    """
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
