"""`autodepth inspect`: the branches of a network and what each costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autodepth.cli.console import give_json, say
from autodepth.cli.options import Free, Json, NetworkName, WeightsKey
from autodepth.errors import InputError
from autodepth.garbage import end_as_it_is, no_collection

if TYPE_CHECKING:
    from autodepth.networks.pruning.channels.narrowing import Narrowing
    from autodepth.networks.pruning.channels.stream import Stream
    from autodepth.networks.reading.branch_costs import Part
    from autodepth.networks.residual_network import ResidualBranch, ResidualNetwork


def inspect(  # noqa: PLR0913, PLR0917 - an option each
    network: NetworkName,
    weights: Annotated[
        Path | None, typer.Option(help="Weights that have to fit, or `pretrained`.")
    ] = None,
    weights_key: WeightsKey = None,
    input: Annotated[  # noqa: A002 - the option's name
        str | None, typer.Option(metavar="CxHxW", help="Shape of an image, or CxT of a sequence.")
    ] = None,
    classes: Annotated[int | None, typer.Option(min=1, help="Size of the output.")] = None,
    shortcut: Annotated[str, typer.Option(help="A or B, for the CIFAR ResNets.")] = "A",
    argument: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="For the network's builder; repeatable."),
    ] = None,
    free: Free = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="Show what a policy's `branches`, `widths` and filters leave of it."),
    ] = None,
    json: Json = False,
) -> None:
    """List the residual branches of a network: which can go, and what each costs.

    With --policy that of the network which a policy leaves, before anything is trained; what it
    removes by scores or a goal stays, as these need images.

    Example: autodepth inspect resnet56 --json
    """
    end_as_it_is()  # looking for garbage in all that torch holds takes two seconds
    with no_collection():
        from autodepth.networks.catalogue import (
            NetworkSpec,
            build_network,
            default_classes,
            default_input,
        )
        from autodepth.networks.catalogue.pixel_constants import constants_of
        from autodepth.networks.catalogue.pretrained import weights_file
        from autodepth.networks.pruning.channels.stream import find_widths

        channels, *sides = _shape(input) if input else default_input(network)
        if shortcut not in {"A", "B"}:
            raise InputError(f"shortcut must be A or B, but got {shortcut!r}")
        spec = NetworkSpec(
            name=network,
            classes=default_classes(network) if classes is None else classes,
            channels=channels,
            height=sides[0] if len(sides) > 1 else 0,
            width=sides[-1],
            shortcut="B" if shortcut == "B" else "A",
            arguments=dict(map(_argument, argument or [])),
            free=tuple(free or ()),
            own_code=True,  # the name was typed in
        )
        if weights is not None:
            weights = weights_file(network, weights)
        built = build_network(spec, weights=weights, weights_key=weights_key, once=True)
        if policy is not None:
            built = _left_by(policy, built)
        widths, stream = find_widths(built)
    for note in (*built.notes, *widths.told(), *stream.told()):
        say(f"note: {note}")
    if weights is not None and (constants := constants_of(network, weights)):
        say(f"note: trained with pixels of {constants}")
    say(f"equal to the network given (off by {built.off_by:.1g} of the largest output)")
    if json:
        give_json(_plain(built, widths, stream))
    else:
        _print(built, widths, stream)


def _left_by(path: Path, network: ResidualNetwork) -> ResidualNetwork:
    """Return what the policy of a file leaves of a network, as far as it names it."""
    from autodepth.networks.pruning.width import prune_width
    from autodepth.service.one_policy.policies import read_policy
    from autodepth.trial.phases.pruning import removal_from

    policy = read_policy(path)
    removal_from(network, policy)  # refuses branches that are not there
    left = network.without(policy.branches or ())
    return prune_width(left, policy.channels_gone(branch.index for branch in left.branches))


def _argument(text: str) -> tuple[str, object]:
    from autodepth.space.file.yaml_text import YamlError, parse_yaml

    name, equals, value = text.partition("=")
    if not name.isidentifier() or not equals:
        raise InputError(f"argument must be NAME=VALUE, for example depth=3, but got {text!r}")
    try:
        return name, parse_yaml(value).content
    except YamlError as error:
        raise InputError(f"argument {text!r}: {error}") from error


def _shape(text: str) -> tuple[int, ...]:
    parts = text.lower().split("x")
    if len(parts) not in {2, 3} or not all(part.isdecimal() and int(part) for part in parts):
        raise InputError(
            "input must be CxHxW, for example 3x224x224, or CxT of sequences, for example 1x1000, "
            f"but got {text!r}"
        )
    return tuple(map(int, parts))


def _plain(network: ResidualNetwork, widths: Narrowing, stream: Stream) -> dict[str, object]:
    def costs(part: ResidualBranch | Part) -> dict[str, object]:
        return {
            "macs": part.macs,
            "share": part.macs / max(network.total_macs, 1),
            "parameters": part.parameters,
        }

    return {
        "branches": [
            {
                "index": branch.index,
                "module": branch.module,
                "stage": branch.stage,
                "shortcut": branch.shortcut,
                "removable": branch.removable,
                "obstacle": branch.obstacle,
                "widths_left_alone": widths.left_alone.get(branch.index, ""),
                **costs(branch),
            }
            for branch, _ in network.kept()
        ],
        **{part.name: costs(part) for part in network.around},
        "stream": [
            {
                "stage": stage,
                "width": stream.widths.get(stage),
                "multiple_of": stream.units.get(stage),
                "left_alone": stream.stay.get(stage, ""),
            }
            for stage in range(1, network.num_stages + 1)
        ],
        "total_macs": network.total_macs,
        "total_parameters": network.total_parameters,
        "equal_off_by": network.off_by,
        "notes": list(network.notes),
    }


def _print(network: ResidualNetwork, widths: Narrowing, stream: Stream) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        box=None, padding=(0, 1), collapse_padding=True, pad_edge=False, header_style="bold"
    )
    names = ("branch", "module", "stage", "shortcut", "removable", "widths", "wide")
    for name in (*names, "MACs", "share", "params"):
        words = name in {"module", "shortcut", "removable", "widths"}
        table.add_column(
            name,
            justify="left" if words else "right",
            no_wrap=name not in {"module", "removable"},
            overflow="fold",  # long names go on in the next line: nothing is cut
        )

    def row(part: ResidualBranch | Part, *cells: str) -> None:
        share = f"{part.macs / max(network.total_macs, 1):.1%}"
        table.add_row(*cells, f"{part.macs:,}", share, f"{part.parameters:,}")

    around = {part.name: part for part in network.around}
    row(around["stem"], "", "stem", *[""] * 5)
    for branch, _ in network.kept():
        able = branch.obstacle or "yes"
        wide = "stay" if branch.index in widths.left_alone else "yes"
        width = str(stream.widths.get(branch.stage, "stays"))
        known = (branch.module, str(branch.stage), branch.shortcut, able, wide, width)
        row(branch, str(branch.index), *known)
    row(around["between"], "", "between", *[""] * 5)
    row(around["head"], "", "head", *[""] * 5)
    table.add_section()
    macs, parameters = f"{network.total_macs:,}", f"{network.total_parameters:,}"
    table.add_row("", "total", *[""] * 5, macs, "100.0%", parameters)
    console = Console()
    if not console.is_terminal:  # one line per branch for whatever reads it, however long
        console.width = Console(width=10_000).measure(table).maximum
    console.print(table)
