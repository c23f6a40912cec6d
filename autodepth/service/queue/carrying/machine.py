"""Shares of this machine: what searches beside each other may take of its devices."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def devices_here() -> tuple[list[int], list[str]]:
    """Return this machine's CPUs and GPUs that are ours to take; nothing heavy is imported."""
    visible = os.environ.get(_VISIBLE)
    if visible is not None:
        gpus = [name.strip() for name in visible.split(",") if name.strip()]
    else:
        nodes = (re.fullmatch(r"nvidia(\d+)", path.name) for path in Path("/dev").glob("nvidia*"))
        gpus = [str(number) for number in sorted(int(node[1]) for node in nodes if node)]
    return sorted(os.sched_getaffinity(0)), gpus


def share_of(
    slot: int, slots: int, cpus: Sequence[int], gpus: Sequence[str]
) -> tuple[list[int], list[str]]:
    """Return the CPUs and GPUs of one slot; slots share where there are more of them.

    Args:
        slot: counted from 0.
        slots: how many there are.
        cpus: of this machine.
        gpus: of this machine.
    """
    return _part(cpus, slot, slots), _part(gpus, slot, slots)


def _part(things: Sequence[T], slot: int, slots: int) -> list[T]:
    if not things:
        return []
    if len(things) < slots:
        return [things[slot % len(things)]]
    return list(things[len(things) * slot // slots : len(things) * (slot + 1) // slots])
