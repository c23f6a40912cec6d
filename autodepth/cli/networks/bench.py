"""`autodepth bench`: how fast an exported network is on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from autodepth.cli.console import give, give_json, say
from autodepth.cli.options import Bundle, Json, OwnCode

if TYPE_CHECKING:
    from rich.table import Table

    from autodepth.export.speed.benchmark import Benchmark, Timing

_EXPORTED = ("export", "int8")
_BAR = 40  # columns of the longest bar


def bench(  # noqa: PLR0913, PLR0917 - an option each
    folder: Bundle,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="parent|DIR2",
            help="Compare with the unpruned parent, or with another exported folder.",
        ),
    ] = None,
    on: Annotated[
        str,
        typer.Option(
            metavar="RUNNER,...",
            help="Where to time: torch, torch-compile, onnxruntime, openvino, executorch, command.",
        ),
    ] = "torch,onnxruntime",
    command: Annotated[
        str | None,
        typer.Option(
            help="Of the runner command: a program of yours that is given {onnx} and {batch}, and "
            "prints milliseconds.",
        ),
    ] = None,
    batch: Annotated[str, typer.Option(metavar="N,...", help="Images per pass.")] = "1,128",
    limit: Annotated[
        str, typer.Option(help="Longest time of a network at a batch size.")
    ] = "10min",
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="CPU threads; all processors this process may use if left out."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Time for each line of the table.")] = 2.0,
    own_code: OwnCode = False,
    json: Json = False,
) -> None:
    """Measure latency, memory, file size and, where there is a meter, energy of an export.

    By default batches of 1 and 128, in PyTorch (on the GPU, where there is one)
    and in onnxruntime (on the CPU). Networks that are compared take turns, and
    arrives is the share of the MACs removed that arrives as time saved.

    Example: autodepth bench exports/digits --against parent --on onnxruntime,openvino
    """
    from autodepth.export.speed.benchmark import benchmark_bundle, places_to_time

    found = benchmark_bundle(
        folder,
        against=against,
        places=places_to_time(
            [name.strip() for name in on.split(",")],
            command=command,
            batches=_numbers(batch),
            limit=_duration(limit),
            threads=threads,
        ),
        seconds=seconds,
        own_code=own_code,
        tell=say,
    )
    if json:
        give_json(found.to_dict())
    else:
        _print(found)


def _numbers(text: str) -> list[int]:
    """Read `1,128`."""
    from autodepth.errors import InputError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise InputError(f"--batch must be whole numbers of at least 1, but got {text!r}")
    return [int(part) for part in parts]


def _duration(text: str) -> str:
    from autodepth.units import parse_duration

    parse_duration(text)
    return text


def _print(found: Benchmark) -> None:
    from rich.console import Console

    from autodepth.units import format_bytes, format_macs

    devices = dict.fromkeys(f"{t.runtime} on {t.device}" for t in found.timings)
    for runtime in devices:
        name = runtime.partition(" ")[0]
        give(f"{name} {found.versions.get(name, '')}{runtime.removeprefix(name)}")
    noun = "CPU thread" if found.threads == 1 else "CPU threads"
    give(f"{found.threads} {noun}; median and interquartile range, networks taking turns")
    for name, what in found.networks.items():
        size = found.onnx_bytes.get(name)
        onnx = "" if size is None else f", ONNX file {format_bytes(size)}"
        give(f"{name}: {what}, {format_macs(found.macs[name])} MACs{onnx}")
    Console().print(_table(found))
    for line in _bars(found):
        give(line)
    for where, why in found.unknown.items():
        give(f"{where}: unknown, {why}")
    if all(timing.joules_per_image is None for timing in found.timings):
        from autodepth.trial.device.energy import no_energy

        give(f"energy: {no_energy()}")


def _table(found: Benchmark) -> Table:
    from rich.table import Table

    compared = len(found.networks) > 1
    metered = any(timing.joules_per_image is not None for timing in found.timings)
    table = Table(box=None, padding=(0, 1), header_style="bold")
    columns = ["batch", "runtime", "network", "median", "IQR"]
    columns += ["mJ/image" if metered else "images/s"]  # 80 columns hold no more
    columns += ["faster", "arrives"] if compared else ["peak mem."]
    for name in columns:
        left = name in {"runtime", "network"}
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for timing in found.timings:
        table.add_row(
            str(timing.batch),
            timing.runtime,
            timing.network,
            f"{timing.median_ms:.3g} ms",
            "-" if timing.iqr_ms is None else f"{timing.iqr_ms:.2g} ms",
            _energy(timing) if metered else f"{1e3 * timing.batch / timing.median_ms:,.0f}",
            *(_gained(timing, found) if compared else [_memory(timing)]),
        )
    return table


def _energy(timing: Timing) -> str:
    joules = timing.joules_per_image
    return "-" if joules is None else f"{1e3 * joules:.3g}"


def _memory(timing: Timing) -> str:
    from autodepth.units import format_bytes

    return "-" if timing.peak_bytes is None else format_bytes(timing.peak_bytes)


def _gained(timing: Timing, found: Benchmark) -> tuple[str, str]:
    """Return how many times as fast an export is, and what of the MACs removed arrives."""
    if timing.network not in _EXPORTED:
        return "", ""
    other, arrives = found.beside(timing), found.arrives(timing)
    faster = "-" if other is None else f"{other.median_ms / timing.median_ms:.2f}x"
    return faster, "-" if arrives is None else f"{arrives:.0%}"


def _bars(found: Benchmark) -> list[str]:
    """Return what is left of the other network's time and MACs as bars."""
    left = {}
    for timing in found.timings:
        other = found.beside(timing) if timing.network in _EXPORTED else None
        if other is not None:
            share = found.macs["export"] / found.macs[other.network]
            left["MACs"] = share
            bits = "" if timing.network == "export" else f", {timing.network}"
            name = f"{timing.runtime}, batch {timing.batch}{bits}"
            left[name] = timing.median_ms / other.median_ms
    longest, most = max(map(len, left), default=0), max([1.0, *left.values()])
    return [
        f"{name:<{longest}}  {'█' * max(1, round(_BAR * share / most))} {share:.0%}"
        for name, share in left.items()
    ]
