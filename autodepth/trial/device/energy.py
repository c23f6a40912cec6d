"""The energy of the CPU, where Linux counts it and lets this process read it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """What Linux counts of the energy of all CPU packages, other processes' share included.

    Args:
        root: the powercap folder; its counters are readable by root alone on most systems.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        self._zones: dict[Path, int] = {}
        for zone in root.glob("intel-rapl:*"):  # AMD's counters have this name too
            if zone.name.count(":") > 1:  # a part of a package
                continue
            with suppress(OSError, ValueError):
                _number(zone / "energy_uj")
                self._zones[zone] = _number(zone / "max_energy_range_uj")

    @property
    def present(self) -> bool:
        """Whether there is anything to read."""
        return bool(self._zones)

    @property
    def joules(self) -> Callable[[], float] | None:
        """What all packages took since now, told when it is called; None without a counter."""
        return partial(self.joules_since, self.read()) if self.present else None

    def read(self) -> dict[Path, int]:
        """Return the present count of each package in microjoules."""
        return {zone: _number(zone / "energy_uj") for zone in self._zones}

    def joules_since(self, before: dict[Path, int]) -> float:
        """Return what all packages took since a reading; counters that began anew are counted."""
        now = self.read()
        return sum((now[z] - before[z]) % (self._zones[z] + 1) for z in self._zones) / 1e6


def no_energy(root: Path = POWERCAP) -> str:
    """Return in words why there is no energy: no counter, or one that may not be read."""
    zones = [zone for zone in root.glob("intel-rapl:*") if zone.name.count(":") == 1]
    if not zones:
        return f"no counter here ({root} has none, as in most VMs)"
    return f"{zones[0] / 'energy_uj'} may be read by root alone"


def _number(path: Path) -> int:
    return int(path.read_text())
