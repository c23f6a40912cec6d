"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from autodepth.cli.console import only_json
from autodepth.errors import InputError


def known_studies(incomplete: str) -> list[str]:
    """Return what a shell may complete a study's name to."""
    from autodepth.records.studies import LATEST, study_folders

    names = [LATEST, *sorted(folder.name for folder in study_folders())]
    return [name for name in names if name.startswith(incomplete)]


Study = Annotated[
    str,
    typer.Argument(
        metavar="[STUDY]",
        help="A study's name; `latest` is the newest.",
        autocompletion=known_studies,
    ),
]
RunningStudy = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="A study's name; `latest` is the newest.",
        autocompletion=known_studies,
    ),
]
NetworkName = Annotated[
    str, typer.Argument(help="resnet56, torchvision:, timm: or hf:NAME, or package.module:callable")
]
Network = Annotated[str | None, typer.Option(help="resnet56, torchvision:NAME, ...")]
Data = Annotated[
    str | None, typer.Option(help="digits, cifar10, ..., folder:PATH, npz:FILE or hf-data:NAME.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change the space: train.epochs=3."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of the study; else the space's.")]
Bundle = Annotated[Path, typer.Argument(metavar="DIR", help="An exported folder.")]
NewBundle = Annotated[Path, typer.Option(help="Folder to export to; must not exist.")]
TrackingStore = Annotated[
    str | None, typer.Option(help="MLflow store; else a SQLite file beside the studies.")
]
Notify = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL",
        help="Tell a webhook, or what apprise knows, when it matters; better env:NAME or "
        "file:PATH of what holds the URL: others on this machine see a command line. Repeatable.",
    ),
]
OwnCode = Annotated[
    bool,
    typer.Option(
        "--own-code",
        help="Let a network package.module:callable that a file names be imported; trust it first.",
    ),
]
TrustData = Annotated[
    bool,
    typer.Option(
        "--trust-data",
        help="Do not look at images before they are needed, the test images among them.",
    ),
]
WeightsKey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="Where in the file of weights they are: state_dict_ema, model_ema, ...; else found.",
    ),
]
Concurrency = Annotated[
    str | None,
    typer.Option(metavar="N|auto", help="Trials at the same time; auto is one per device."),
]
ConcurrencyAsBefore = Annotated[
    str | None,
    typer.Option(
        metavar="N|auto",
        help="Trials at the same time; auto is one per device; else as many as before.",
    ),
]
Moved = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="folder:PATH|npz:FILE",
        help="Where the study's images are, if they moved.",
    ),
]
MovedWeights = Annotated[
    Path | None,
    typer.Option("--weights", help="Where the weights it starts from are, if they moved."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Run trials on this Ray cluster, of which this host is a node; auto finds it.",
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where nodes of the cluster write: file:///shared/folder, s3://bucket/folder.",
    ),
]


def _keep_stdout(context: typer.Context, json: bool) -> bool:
    """Keep stdout for the document until the command has ended."""
    if json:
        context.with_resource(only_json())
    return json


AtMost = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Device or wall time that it may take, such as 10cpu-min; what it costs if left out.",
    ),
]
Free = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Operator, function or class of your own that counts as 0 MACs; repeatable.",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", callback=_keep_stdout, help="Print JSON, for scripts.")
]


def read_concurrency(text: str | None) -> int | Literal["auto"] | None:
    """Read `--concurrency`: a whole number, `auto`, or None where it is not given.

    Raises:
        InputError: it is neither `auto` nor a whole number.
    """
    if text is None:
        return None
    if text == "auto":
        return "auto"
    if not text.isdecimal():
        raise InputError(f"concurrency must be a whole number or auto, but got {text!r}")
    return int(text)
