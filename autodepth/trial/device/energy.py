"""The energy of the CPU, other processes' share included, where Linux lets this one read it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


def energy_meter(root: Path = POWERCAP) -> Callable[[], float] | None:
    """Return what tells the joules that all CPU packages took since now; None without a counter.

    Counters that began anew since are counted; those of parts of a package are in the package's.

    Args:
        root: the powercap folder; its counters are readable by root alone on most systems.
    """
    ranges: dict[Path, int] = {}
    before: dict[Path, int] = {}
    for zone in _packages(root):
        with suppress(OSError, ValueError):
            before[zone] = _number(zone / "energy_uj")
            ranges[zone] = _number(zone / "max_energy_range_uj") + 1

    def joules() -> float:
        taken = (
            (_number(zone / "energy_uj") - before[zone]) % most for zone, most in ranges.items()
        )
        return sum(taken) / 1e6

    return joules if ranges else None


def no_energy(root: Path = POWERCAP) -> str:
    """Return in words why there is no energy: no counter, or one that may not be read."""
    zones = _packages(root)
    if not zones:
        return f"no counter here ({root} has none, as in most VMs)"
    return f"{zones[0] / 'energy_uj'} may be read by root alone"


def _packages(root: Path) -> list[Path]:
    """Return the folders of whole packages; AMD's have Intel's name too."""
    return [zone for zone in root.glob("intel-rapl:*") if zone.name.count(":") == 1]


def _number(path: Path) -> int:
    return int(path.read_text())
