"""`autodepth export` and `autodepth evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autodepth.cli.console import give, give_json, say
from autodepth.cli.networks.register_push import print_registered
from autodepth.cli.options import Json, NewBundle, OwnCode, Study, TrackingStore, WeightsKey
from autodepth.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autodepth.export.exporting import Export
    from autodepth.export.testing.evaluation import TestResult
    from autodepth.export.testing.opening import Only
    from autodepth.service.publish.register import Registered


def export(
    to: NewBundle,
    study: Study = "latest",
    select: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WISH",
            help="knee (if left out), best-accuracy, smallest, trial:ID, or limits such as "
            "'macs<=1M', 'latency_ms<=5,params<=0.3M', 'accuracy>=0.97' or 'accuracy>=best-1%'. "
            "Several: each gets a folder of its own below --to.",
        ),
    ] = None,
    formats: Annotated[
        str,
        typer.Option(
            help="What to write beside weights and architecture: torch,onnx,int8,executorch, or "
            "none. int8 is calibrated by training images, and its accuracy is told.",
        ),
    ] = "torch,onnx",
    register: Annotated[
        bool,
        typer.Option(
            "--register",
            help="Put them into MLflow's model registry too, under the study's name. The first "
            "has the alias champion; the front's knee and smallest have these.",
        ),
    ] = False,
    tracking_uri: TrackingStore = None,
    own_code: OwnCode = False,
    json: Json = False,
) -> None:
    """Export networks of a study's front as files that run without the study.

    Each file is loaded again and compared with the searched network; one that
    differs leaves no folder. Ties between points go to the higher accuracy, then
    fewer MACs, then the earlier trial.

    Example: autodepth export --select knee --select 'accuracy>=0.97' --to exports
    """
    from dataclasses import asdict

    from autodepth.export.exporting import export_wishes
    from autodepth.export.writing import read_formats
    from autodepth.records.studies import find_study

    wanted = read_formats(formats)  # a mistake there needs no study to be told
    if register and "torch" not in wanted:
        raise InputError(f"MLflow loads the format torch, so --register needs it, got {formats!r}")
    chosen = export_wishes(
        find_study(study),
        select or ["knee"],
        to,
        own_code=own_code,
        formats=wanted,
        tell=say,
    )
    if not json:
        for export in chosen:
            _print_export(export)
    registered = _register(chosen, tracking_uri, own_code=own_code) if register else []
    if not json:
        for found in registered:
            print_registered(found)
        return
    told = [{"folder": str(e.folder), "selected": e.wish, **e.point.to_dict()} for e in chosen]
    for values, found in zip(told, registered, strict=False):
        values["registered"] = asdict(found)
    give_json(told)


def _register(
    chosen: list[Export], tracking_uri: str | None, *, own_code: bool
) -> list[Registered]:
    from autodepth.service.publish.register import register_bundle

    return [
        register_bundle(
            export.folder, tracking_uri=tracking_uri, champion=i == 0, own_code=own_code
        )
        for i, export in enumerate(chosen)
    ]


def _print_export(export: Export) -> None:
    from autodepth.units import format_macs

    point = export.point.point
    give(
        f"{export.folder}: trial {export.point.trial} ({export.wish})\n"
        f"  {point.shown()} {point.metric_in_words}, {format_macs(point.macs)} MACs, "
        f"{format_macs(point.parameters)} parameters"
    )


def evaluate(  # noqa: PLR0913, PLR0917 - an option each
    network: Annotated[
        str, typer.Argument(metavar="DIR", help="An exported folder, or a network's name.")
    ],
    data: Annotated[
        str | None,
        typer.Option(
            help="Data to test on: a folder's held-out split, or the whole; that of the search if "
            "left out."
        ),
    ] = None,
    only_new: Annotated[
        bool, typer.Option("--only-new", help="Take only images that the study never had.")
    ] = False,
    set_apart: Annotated[
        bool,
        typer.Option("--set-apart", help="Take only those it set apart, whatever was added since."),
    ] = False,
    class_map: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="CLASS=NAME", help="The data call a class NAME: ship=Ship."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights, or `pretrained`, where DIR is a network's name.")
    ] = None,
    weights_key: WeightsKey = None,
    from_scratch: Annotated[
        int | None,
        typer.Option(
            metavar="SEEDS",
            help="Train the same network from scratch on so many seeds, for what its policy "
            "computed, and say what it comes to on the same images. The study is charged.",
        ),
    ] = None,
    own_code: OwnCode = False,
    json: Json = False,
) -> None:
    """Open the test images for an exported network, and record that they were opened.

    Example: autodepth evaluate exports/digits --from-scratch 3
    """
    from autodepth.export.testing.evaluation import evaluate_bundle, evaluate_network
    from autodepth.units import format_macs

    if only_new and set_apart:
        raise InputError("--only-new and --set-apart exclude each other: give one of them")
    only: Only | None = "new" if only_new else "set-apart" if set_apart else None
    if weights is None:
        renamed = _read_map(class_map or ())
        if from_scratch is None:
            result = evaluate_bundle(
                Path(network), data, own_code=own_code, only=only, renamed=renamed
            )
        else:
            from autodepth.service.one_policy.from_scratch import evaluate_beside_scratch

            result = evaluate_beside_scratch(
                Path(network), from_scratch, data, own_code=own_code, only=only, renamed=renamed
            )
    elif only or class_map or from_scratch is not None:
        raise InputError(
            "--only-new, --set-apart, --map and --from-scratch are for an exported folder"
        )
    elif data is None:
        raise InputError("evaluating a network by its name needs --data, but got none")
    else:
        result = evaluate_network(network, data, weights=weights, weights_key=weights_key)
    for note in result.notes:
        say(f"note: {note}")
    if result.openings_before:
        say(
            f"note: this network was shown the test split of {result.data} "
            f"{result.openings_before} times before; see test_openings.json"
        )
    if json:
        give_json(result.to_dict())
        return
    give(
        f"{result.told} on {result.images:,} images of {result.data}, "
        f"{format_macs(result.macs)} MACs ({result.macs:,}), {result.parameters:,} parameters"
    )
    if from_scratch is not None:
        give(_beside(result))


def _beside(result: TestResult) -> str:
    """Say what the same network from scratch came to, and so what the search bought."""
    control = result.from_scratch
    if control is None:
        return "from scratch  this network was trained from scratch itself: it is its own control"
    from statistics import fmean, stdev

    from autodepth.units import format_duration

    found = control.test_accuracies
    mean, sd = fmean(found), f" ± {100 * stdev(found):.2f}" if len(found) > 1 else ""
    seeds = f"{len(found)} seed{'' if len(found) == 1 else 's'}"
    computed = "all" if control.share >= 0.995 else f"{control.share:.0%}"
    return (
        f"{100 * mean:.2f}{sd}% the same network from scratch ({seeds}; {control.epochs} epochs, "
        f"{computed} of what its policy computed; {format_duration(control.device_seconds)} "
        f"charged): the search bought {100 * (result.test_accuracy - mean):+.1f} points"
    )


def _read_map(pairs: Sequence[str]) -> dict[str, str]:
    renamed: dict[str, str] = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not (ours and equals and theirs) or ours in renamed:
            raise InputError(f"--map takes CLASS=NAME, once per class, but got {pair!r}")
        renamed[ours] = theirs
    return renamed
