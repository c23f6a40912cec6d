"""Budgets as people write them, and quantities as people read them."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Literal

from autodepth.errors import BudgetError, InputError, did_you_mean

Device = Literal["gpu", "cpu"]

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DEVICE_UNITS = [f"{device}-{unit}" for device in ("gpu", "cpu") for unit in _SECONDS]
_UNITS = [*_DEVICE_UNITS, *_SECONDS, "trials"]
_PART = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(?P<unit>[A-Za-z-]*)")
_BYTES: dict[str, int] = {
    **{unit: 1000**power for power, unit in enumerate(("b", "kb", "mb", "gb", "tb"))},
    **{unit: 1024**power for power, unit in enumerate(("kib", "mib", "gib", "tib"), start=1)},
}
_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(?P<unit>[A-Za-z]+)")
_EXAMPLES = "for example 50gpu-h, 90cpu-min, 12h or 400trials"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a study may spend; the first limit to be reached ends it.

    Args:
        device_seconds: seconds reserved, summed over devices; None for no such limit.
        device: the kind of device `device_seconds` is counted on.
        wall_seconds: seconds from the start of the search; None for no such limit.
        trials: trials that may end; None for no such limit.
    """

    device_seconds: float | None = None
    device: Device | None = None
    wall_seconds: float | None = None
    trials: int | None = None

    def seconds_left(
        self, devices: float, *, device_seconds: float = 0.0, wall_seconds: float = 0.0
    ) -> float:
        """Return for how many seconds devices may be reserved yet; infinite without such a limit.

        Args:
            devices: how many are reserved together, above 0.
            device_seconds: what was spent, summed over devices.
            wall_seconds: for how long any device was reserved.
        """
        left = [math.inf]
        if self.device_seconds is not None:
            left.append((self.device_seconds - device_seconds) / devices)
        if self.wall_seconds is not None:
            left.append(self.wall_seconds - wall_seconds)
        return min(left)

    def share_spent(
        self, *, device_seconds: float, wall_seconds: float, trials: int
    ) -> float | None:
        """Return what share of the limit that ends first is used up, in [0, 1]; None without any.

        Args:
            device_seconds: as of `seconds_left`.
            wall_seconds: as of `seconds_left`.
            trials: that count.
        """
        used = (
            (device_seconds, self.device_seconds),
            (wall_seconds, self.wall_seconds),
            (trials, self.trials),
        )
        shares = [amount / limit for amount, limit in used if limit is not None]
        return min(1.0, max(shares)) if shares else None

    def plus(self, more: Budget) -> Budget:
        """Return this budget with more of what it limits.

        Raises:
            BudgetError: `more` limits something that this one does not, or other devices.
        """
        values = asdict(self)
        for name, amount in asdict(more).items():
            if amount is None or name == "device":
                continue
            if values[name] is None:
                raise BudgetError(
                    f"only what limits a budget can be added to it, and {name.replace('_', ' ')} "
                    "does not limit this one"
                )
            values[name] += amount
        if more.device not in {None, self.device}:
            raise BudgetError(f"the budget is of {self.device} time, but got {more.device} time")
        return Budget(**values)

    def beyond(self, device: Device, *, device_seconds: float, wall_seconds: float) -> Budget:
        """Return the budget in all of what has spent something and may take this one besides.

        Args:
            device: kind of the devices that it takes.
            device_seconds: spent, summed over devices.
            wall_seconds: for which any device was reserved.

        Raises:
            BudgetError: this one is of other devices.
        """
        if self.device not in {None, device}:
            raise BudgetError(
                f"what is carried out takes {device} time, but got a budget of {self.device} time"
            )
        return Budget(
            device_seconds=None
            if self.device_seconds is None
            else self.device_seconds + device_seconds,
            device=self.device,
            wall_seconds=None if self.wall_seconds is None else self.wall_seconds + wall_seconds,
            trials=self.trials,
        )

    def plan(self, device: Device, devices: float) -> str:
        """Say what the budget means on a number of devices: `50 gpu-h = 8 GPUs for 6 h 15 min`."""
        parts = []
        if self.device_seconds is not None:
            noun = f"{device.upper()}{'s' if devices != 1 else ''}"
            amount = format_device_time(self.device_seconds, self.device or device)
            share = format_duration(self.device_seconds / devices)
            parts.append(f"{amount} = {devices:g} {noun} for {share}")
        if self.wall_seconds is not None:
            parts.append(f"{format_duration(self.wall_seconds)} of wall time")
        if self.trials is not None:
            parts.append(f"{self.trials} trials")
        if not parts:
            return "no limit"
        return ", whichever ends first: ".join([parts[0], "; ".join(parts[1:])][: len(parts)])


def parse_budget(text: str) -> Budget:
    """Read a budget: `NUMBER UNIT`, several joined by commas, the first to end wins.

    Units: `gpu-s gpu-min gpu-h gpu-d`, the same for `cpu` (device time), `s min h d` (wall
    time), `trials` (a count).

    Raises:
        BudgetError: an unreadable part, an unknown unit, a zero, or two limits of one kind.
    """
    limits: dict[str, float | int | str] = {}
    for part in text.split(","):
        for name, value in _parse_part(part.strip(), text).items():
            if name in limits:
                raise BudgetError(f"budget {text!r} sets two limits of one kind; keep one of them")
            limits[name] = value
    return Budget(**limits)  # type: ignore[arg-type]


def _parse_part(part: str, text: str) -> dict[str, float | int | str]:
    match = _PART.fullmatch(part)
    if not match:
        raise BudgetError(f"a budget is NUMBER UNIT, {_EXAMPLES}, but got {text!r}")
    number, unit = float(match["number"]), match["unit"].lower()
    amount = match["number"]
    if not unit:
        raise BudgetError(
            f"budget {part!r} has no unit: write {amount}gpu-h or {amount}cpu-h for device time, "
            f"{amount}h for wall time, {amount}trials for a count"
        )
    if unit == "trial":
        unit = "trials"
    if unit not in _UNITS:
        raise BudgetError(
            f"budget unit must be one of {', '.join(_UNITS)}, but got {unit!r}"
            + did_you_mean(unit, _UNITS)
        )
    if number <= 0:
        raise BudgetError(f"a budget must be above zero, but got {part!r}")
    if unit == "trials":
        if number != int(number):
            raise BudgetError(f"a number of trials must be whole, but got {part!r}")
        return {"trials": int(number)}
    if unit in _SECONDS:
        return {"wall_seconds": number * _SECONDS[unit]}
    device, _, time_unit = unit.partition("-")
    return {"device_seconds": number * _SECONDS[time_unit], "device": device}


def parse_duration(text: str) -> float:
    """Read a duration in seconds: `NUMBER UNIT` with `s min h d`.

    Raises:
        InputError: the text is no duration, or of no time at all.
    """
    match = _PART.fullmatch(text.strip())
    seconds = float(match["number"]) * _SECONDS.get(match["unit"].lower(), 0.0) if match else 0.0
    if seconds <= 0:
        raise InputError(
            f"a duration must be NUMBER UNIT, for example 30min or 2h, but got {text!r}"
        )
    return seconds


def format_duration(seconds: float) -> str:
    """Print a duration in its two largest units: `6 h 15 min`, `2 min 5 s`, `0.4 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    total = round(seconds)
    parts: list[tuple[int, str]] = []
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, total = divmod(total, size)
        if count or parts:
            parts.append((count, name))
    return " ".join(f"{count} {name}" for count, name in parts[:2] if count)


def format_device_time(seconds: float, device: Device) -> str:
    """Print device time in the largest unit it fills: `50 gpu-h`, `4 cpu-min`, `30 cpu-s`."""
    unit, size = next(
        ((u, s) for u, s in (("h", 3600.0), ("min", 60.0)) if seconds >= s), ("s", 1.0)
    )
    return f"{round(seconds / size, 2):g} {device}-{unit}"


def format_macs(macs: float) -> str:
    """Print multiply-accumulates: `125.49 M`, `4.09 G`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if macs >= size:
            return f"{macs / size:.2f} {unit}"
    return f"{macs:.0f}"


def parse_bytes(text: str) -> int:
    """Read a size: `NUMBER UNIT` with `B kB MB GB TB` (powers of 1000), `KiB MiB GiB TiB`.

    Raises:
        InputError: the text is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    unit = match["unit"].lower() if match else ""
    if not match or unit not in _BYTES:
        raise InputError(f"a size must be NUMBER UNIT, for example 4GB or 500MB, but got {text!r}")
    size: int = round(float(match["number"]) * _BYTES[unit])
    return size


def format_bytes(size: float) -> str:
    """Print a size in decimal units: `1.1 MB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size:.0f} B"
