"""What one trial reserves, as a person writes it: `0.25gpu`, `2gpu`, `4cpu`, `2x1cpu`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from autodepth.errors import InputError

_GRAMMAR = (
    "0.25gpu (four trials on a GPU), 2gpu (one trial on two), 4cpu, or 2x1cpu (two processes), "
    "GPUs and CPUs by a comma"
)
_PART = re.compile(r"(?:(?P<times>[0-9]+)x)?(?P<number>[0-9]*\.?[0-9]+)(?P<kind>gpu|cpu)")


@dataclass(frozen=True, kw_only=True)
class ResourceRequest:
    """What one trial reserves in all; None where that is left open.

    Args:
        gpus: a share of one, so that several trials are on it, or a whole number.
        cpus: a whole number.
        ranks: processes that train a trial together, each on as much as the others.
    """

    gpus: float | None = None
    cpus: int | None = None
    ranks: int = 1

    def __str__(self) -> str:
        parts = []
        if self.gpus is not None:
            parts.append(f"{self.gpus:g}gpu")
        if self.cpus is not None:
            times = f"{self.ranks}x" if self.ranks > 1 and self.gpus is None else ""
            parts.append(f"{times}{self.cpus // (self.ranks if times else 1)}cpu")
        return ",".join(parts)


def parse_per_trial(text: str) -> ResourceRequest:
    """Read what one trial reserves.

    Raises:
        InputError: it cannot be read, or is no amount that a trial can use.
    """
    found: dict[str, re.Match[str]] = {}
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None or match["kind"] in found:
            raise InputError(f"a trial's resources must be {_GRAMMAR}, but got {text!r}")
        found[match["kind"]] = match
    gpus = _gpus(found["gpu"]) if "gpu" in found else None
    ranks, cpus = int(gpus) if gpus is not None and gpus > 1 else 1, None
    if "cpu" in found:
        number, times = float(found["cpu"]["number"]), int(found["cpu"]["times"] or 1)
        if number < 1 or number % 1 or times < 1:
            raise InputError(
                f"CPUs of a trial must be a whole number of at least 1, but got {text!r}"
            )
        if times > 1 and gpus is not None:
            raise InputError(
                "with GPUs a trial has a process for each, so CPUs are told in all, as in "
                f"2gpu,8cpu, but got {text!r}"
            )
        ranks, cpus = max(ranks, times), int(number) * times
    if cpus is not None and cpus % ranks:
        raise InputError(
            f"CPUs of a trial must be as many for each of its {ranks} processes, but got {text!r}"
        )
    return ResourceRequest(gpus=gpus, cpus=cpus, ranks=ranks)


def _gpus(match: re.Match[str]) -> float:
    each, times = float(match["number"]), int(match["times"] or 1)
    gpus = each * times
    if gpus <= 0 or ((gpus > 1 or times > 1) and each % 1):
        raise InputError(
            "GPUs of a trial must be a share of one, in (0, 1], or a whole number, "
            f"but got {match[0]!r}"
        )
    return gpus
