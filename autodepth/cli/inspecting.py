"""`autodepth inspect`: the branches of a network and what each costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autodepth.cli.console import give_json
from autodepth.cli.studies import Json
from autodepth.errors import InputError

if TYPE_CHECKING:
    from autodepth.networks.residual_network import ResidualNetwork


def inspect(
    network: Annotated[str, typer.Argument(help="resnet56, torchvision:resnet50, ...")],
    weights: Annotated[Path | None, typer.Option(help="Weights that have to fit.")] = None,
    input: Annotated[  # noqa: A002 - the option's name
        str | None, typer.Option(metavar="CxHxW", help="Shape of an image.")
    ] = None,
    classes: Annotated[int | None, typer.Option(help="Size of the output.")] = None,
    shortcut: Annotated[str, typer.Option(help="A or B, for the CIFAR ResNets.")] = "A",
    json: Json = False,
) -> None:
    """List the residual branches of a network: which can go, and what each costs.

    Example: autodepth inspect resnet56 --json
    """
    from autodepth.networks.catalogue import NetworkSpec, build_network  # noqa: PLC0415

    large = network.startswith("torchvision:")
    channels, height, width = _shape(input or ("3x224x224" if large else "3x32x32"))
    if shortcut not in {"A", "B"}:
        raise InputError(f"shortcut must be A or B, but got {shortcut!r}")
    spec = NetworkSpec(
        name=network,
        classes=classes or (1000 if large else 10),
        channels=channels,
        height=height,
        width=width,
        shortcut="B" if shortcut == "B" else "A",
    )
    built = build_network(spec, weights=weights)
    if json:
        give_json(_plain(built))
    else:
        _print(built)


def _shape(text: str) -> tuple[int, int, int]:
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) for part in parts):
        raise InputError(f"input must be CxHxW, for example 3x224x224, but got {text!r}")
    channels, height, width = map(int, parts)
    return channels, height, width


def _plain(network: ResidualNetwork) -> dict[str, object]:
    return {
        "branches": [
            {
                "index": branch.index,
                "module": branch.module,
                "stage": branch.stage,
                "shortcut": branch.shortcut,
                "removable": branch.removable,
                "obstacle": branch.obstacle,
                "macs": branch.macs,
                "parameters": branch.parameters,
            }
            for branch in network.branches
        ],
        "total_macs": network.total_macs,
        "total_parameters": network.total_parameters,
    }


def _print(network: ResidualNetwork) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("branch", "module", "stage", "shortcut", "removable", "MACs", "share", "params"):
        words = name in {"module", "shortcut", "removable"}
        table.add_column(name, justify="left" if words else "right", overflow="fold")
    for branch in network.branches:
        table.add_row(
            str(branch.index),
            branch.module,
            str(branch.stage),
            branch.shortcut,
            branch.obstacle or "yes",
            f"{branch.macs:,}",
            f"{branch.macs / network.total_macs:.1%}",
            f"{branch.parameters:,}",
        )
    rest_macs = network.total_macs - sum(b.macs for b in network.branches)
    rest_parameters = network.total_parameters - sum(b.parameters for b in network.branches)
    table.add_section()
    for name, macs, parameters in (
        ("stem, shortcuts, head", rest_macs, rest_parameters),
        ("total", network.total_macs, network.total_parameters),
    ):
        share = f"{macs / network.total_macs:.1%}"
        table.add_row("", name, "", "", "", f"{macs:,}", share, f"{parameters:,}")
    Console().print(table)
