"""`autodepth bench`: how fast an exported network is on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from autodepth.cli.console import give, give_json, say
from autodepth.cli.options import Bundle, Json, OwnCode

if TYPE_CHECKING:
    from rich.table import Table

    from autodepth.export.speed.benchmark import Benchmark, Timing


def bench(
    folder: Bundle,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="parent|DIR2",
            help="Compare with the unpruned parent, or with another exported folder.",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="CPU threads; all processors this process may use if left out."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Time for each line of the table.")] = 2.0,
    own_code: OwnCode = False,
    json: Json = False,
) -> None:
    """Measure latency, memory, file size and, where there is a meter, energy of an export.

    Batches of 1 and 128, in PyTorch (on the GPU, where there is one) and in
    onnxruntime (on the CPU). Networks that are compared take turns.

    Example: autodepth bench exports/digits --against parent
    """
    from autodepth.export.speed.benchmark import benchmark_bundle

    found = benchmark_bundle(
        folder, against=against, threads=threads, seconds=seconds, own_code=own_code, tell=say
    )
    if json:
        give_json(found.to_dict())
    else:
        _print(found)


def _print(found: Benchmark) -> None:
    from rich.console import Console

    from autodepth.units import format_bytes, format_macs

    devices = dict.fromkeys(f"{t.runtime} on {t.device}" for t in found.timings)
    for runtime in devices:
        name = runtime.partition(" ")[0]
        give(f"{name} {found.versions[name]}{runtime.removeprefix(name)}")
    noun = "CPU thread" if found.threads == 1 else "CPU threads"
    give(f"{found.threads} {noun}; median and interquartile range, networks taking turns")
    for name, what in found.networks.items():
        size = found.onnx_bytes.get(name)
        onnx = "" if size is None else f", ONNX file {format_bytes(size)}"
        give(f"{name}: {what}, {format_macs(found.macs[name])} MACs{onnx}")
    Console().print(_table(found))
    if all(timing.joules_per_image is None for timing in found.timings):
        give("energy: no meter that may be read here (Linux powercap)")


def _table(found: Benchmark) -> Table:
    from rich.table import Table

    from autodepth.units import format_bytes

    compared = len(found.networks) > 1
    metered = any(timing.joules_per_image is not None for timing in found.timings)
    table = Table(box=None, padding=(0, 1), header_style="bold")
    columns = ["batch", "runtime", "network", "median", "IQR"]
    columns += ["mJ/image" if metered else "images/s", "peak mem."]  # 80 columns hold no more
    for name in columns + ["faster"] * compared:
        left = name in {"runtime", "network"}
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for timing in found.timings:
        table.add_row(
            str(timing.batch),
            timing.runtime,
            timing.network,
            f"{timing.median_ms:.3g} ms",
            f"{timing.iqr_ms:.2g} ms",
            _energy(timing) if metered else f"{1e3 * timing.batch / timing.median_ms:,.0f}",
            "-" if timing.peak_bytes is None else format_bytes(timing.peak_bytes),
            *([_faster(timing, found)] if compared else []),
        )
    return table


def _energy(timing: Timing) -> str:
    joules = timing.joules_per_image
    return "-" if joules is None else f"{1e3 * joules:.3g}"


def _faster(timing: Timing, found: Benchmark) -> str:
    """Return how many times as fast the export is as what it is compared with."""
    if timing.network != "export":
        return ""
    for other in found.timings:
        same = (other.runtime, other.batch) == (timing.runtime, timing.batch)
        if same and other.network != "export":
            return f"{other.median_ms / timing.median_ms:.2f}x"
    return "-"
