"""`autodepth export` and `autodepth evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autodepth.cli.console import give, give_json, say
from autodepth.cli.studies import Json, OwnCode, Study
from autodepth.errors import InputError


def export(
    to: Annotated[Path, typer.Option(help="Folder to write; must not exist.")],
    study: Study = "latest",
    select: Annotated[
        str,
        typer.Option(
            help="knee, best-accuracy, smallest, trial:ID, or limits such as "
            "'macs<=1M' or 'accuracy>=0.97'."
        ),
    ] = "knee",
    own_code: OwnCode = False,
) -> None:
    """Export a network of a study's front as files that load without the study.

    Example: autodepth export latest --select 'accuracy>=0.97' --to exports/digits
    """
    from autodepth.export.exporting import export_selected  # noqa: PLC0415
    from autodepth.records.studies import find_study  # noqa: PLC0415
    from autodepth.units import format_bytes, format_macs  # noqa: PLC0415

    point = export_selected(find_study(study), select, to, own_code=own_code)
    give(
        f"{to}: trial {point.trial}, {point.point.validation_accuracy:.1%} validation accuracy, "
        f"{format_macs(point.point.macs)} MACs, {format_bytes(point.point.size_bytes)}"
    )


def evaluate(
    network: Annotated[
        str, typer.Argument(metavar="DIR", help="An exported folder, or a network's name.")
    ],
    data: Annotated[
        str | None,
        typer.Option(help="Data whose test split is opened; that of the search if left out."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights, where DIR is a network's name.")
    ] = None,
    own_code: OwnCode = False,
    json: Json = False,
) -> None:
    """Open the test split for an exported network, and record that it was opened.

    Example: autodepth evaluate exports/digits
    """
    from dataclasses import asdict  # noqa: PLC0415

    from autodepth.export.evaluation import evaluate_bundle, evaluate_network  # noqa: PLC0415
    from autodepth.units import format_macs  # noqa: PLC0415

    if weights is None:
        result = evaluate_bundle(Path(network), data, own_code=own_code)
    elif data is None:
        raise InputError("evaluating a network by its name needs --data, but got none")
    else:
        result = evaluate_network(network, data, weights=weights)
    if result.openings_before:
        say(
            f"note: this network was shown the test split of {result.data} "
            f"{result.openings_before} times before; see test_openings.json"
        )
    if json:
        give_json(asdict(result))
        return
    give(
        f"{result.test_accuracy:.2%} test accuracy on {result.images:,} images of {result.data}, "
        f"{format_macs(result.macs)} MACs ({result.macs:,}), {result.parameters:,} parameters"
    )
