"""`autodepth submit` and `autodepth jobs`: studies as jobs of a Ray cluster."""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autodepth.cli.console import give, give_json, say
from autodepth.cli.options import (
    Concurrency,
    Json,
    Network,
    OwnCode,
    Seed,
    Settings,
    Storage,
    WeightsKey,
    read_concurrency,
)
from autodepth.errors import InputError
from autodepth.paths import absolute

if TYPE_CHECKING:
    from autodepth.service.jobs.jobs import Job, Jobs
    from autodepth.service.search.requests import SearchRequest

Address = Annotated[
    str,
    typer.Option(metavar="URL", help="The cluster's dashboard: http://HEAD:8265."),
]


def submit(  # noqa: PLR0913, PLR0917 - an option each
    space: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SPACE]",
            help="Space file below this folder; else ./autodepth.yaml, else the default.",
        ),
    ] = None,
    budget: Annotated[
        str, typer.Option(help="What the study may spend in all: 50gpu-h, 400trials, ...")
    ] = ...,  # type: ignore[assignment]
    address: Address = ...,  # type: ignore[assignment]
    study: Annotated[
        str | None, typer.Option(help="Name of the study; by it a later submit goes on.")
    ] = None,
    storage: Storage = None,
    home: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder of all studies on the head node; else its home."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="As of search; read on the head node.")] = None,
    network: Network = None,
    weights: Annotated[
        Path | None, typer.Option(help="As of search; a file below this folder.")
    ] = None,
    weights_key: WeightsKey = None,
    settings: Settings = None,
    seed: Seed = None,
    concurrency: Concurrency = "auto",
    own_code: OwnCode = False,
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow store; else a SQLite file on the head node.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Files of this folder that are not sent; repeatable."),
    ] = None,
    python: Annotated[str, typer.Option(help="Python of the head node.")] = "python",
    follow: Annotated[
        bool, typer.Option("--follow", help="Print what it writes, and end as it ends.")
    ] = False,
    json: Json = False,
) -> None:
    """Search on a Ray cluster, as a job of it; submitted again, an ended one goes on.

    This folder is sent along, and this autodepth. A token is read from RAY_AUTH_TOKEN.

    Example: autodepth submit --budget 50gpu-h --address http://head:8265 --storage s3://bucket/ad
    """
    from autodepth.service.jobs.jobs import Jobs, entrypoint
    from autodepth.service.jobs.parcel import pack_parcel
    from autodepth.service.search.requests import SearchRequest
    from autodepth.units import format_bytes, parse_budget

    if tracking_uri is not None and "@" in tracking_uri:
        raise InputError(
            "a job's command can be read by all who see the cluster, so a tracking URI must come "
            "without user and password: set MLFLOW_TRACKING_USERNAME and _PASSWORD on its nodes"
        )
    name = study or f"study-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    request = SearchRequest(
        space=_below(space),
        budget=budget,
        study=name,
        data=data,
        network=network,
        weights=_below(weights),
        weights_key=weights_key,
        settings=settings or (),
        seed=seed,
        concurrency=read_concurrency(concurrency),
        own_code=own_code,
        tracking_uri=tracking_uri,
        ray_address="auto",
        storage=storage,
    )
    parse_budget(request.budget)  # what cannot be read is told here, not on the head node
    arguments = _as_arguments(request)
    jobs = Jobs(address)
    with tempfile.TemporaryDirectory(prefix="autodepth-") as place:
        parcel = pack_parcel(Path.cwd(), Path(place), exclude or ())
        say(f"sending {parcel.files} files, {format_bytes(parcel.size)}, and autodepth")
        job = jobs.submit(name, entrypoint(arguments, home=home, python=python), parcel.folder)
    if not json:
        give(job.id)
    status = 0
    if follow:
        job, status = _follow(jobs, job)
    else:
        say(f"follow it: autodepth jobs {name} --follow --address {address}")
    if json:
        give_json({"address": address, **job.to_dict()})
    sys.exit(status)


def _as_arguments(request: SearchRequest) -> list[str]:
    """Return the command-line arguments of a job; submitted again, the study goes on."""
    single = {
        "--ray-address": request.ray_address, "--budget": request.budget, "--study": request.study,
        "--storage": request.storage, "--data": request.data, "--network": request.network,
        "--weights": request.weights, "--weights-key": request.weights_key, "--seed": request.seed,
        "--concurrency": request.concurrency, "--tracking-uri": request.tracking_uri,
    }  # fmt: skip
    arguments = ["search", *([str(request.space)] if request.space else []), "--go-on"]
    arguments += ["--own-code"] if request.own_code else []
    for option, value in single.items():
        arguments += [] if value is None else [option, str(value)]
    for setting in request.settings:
        arguments += ["--set", setting]
    return arguments


def jobs(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="Only this study.")] = None,
    address: Address = ...,  # type: ignore[assignment]
    follow: Annotated[
        bool, typer.Option("--follow", help="Print what the latest writes, and end as it ends.")
    ] = False,
    json: Json = False,
) -> None:
    """List the studies that a Ray cluster has or had as jobs, the latest first.

    Example: autodepth jobs --address http://head:8265
    """
    from autodepth.service.jobs.jobs import Jobs

    cluster = Jobs(address)
    found, status = cluster.list(study), 0
    if follow:
        if not found:
            raise InputError(f"there is no job to follow at {address}")
        found[0], status = _follow(cluster, found[0])
    if json:
        give_json([job.to_dict() for job in found])
    elif not found:
        give(f"no jobs of autodepth at {address}")
    elif not follow:
        _print(found)
    sys.exit(status)


def _follow(cluster: Jobs, job: Job) -> tuple[Job, int]:
    """Print what a job writes; return it and the status to exit with. Ctrl-C leaves it running."""
    from autodepth.service.jobs.jobs import exit_status

    try:
        ended = cluster.follow(job, lambda text: give(text.rstrip("\n")))
    except KeyboardInterrupt:
        say(f"followed no longer; the job {job.id} goes on")
        return job, 130
    say(f"{ended.id}: {ended.status}")
    return ended, exit_status(ended)


def _print(found: list[Job]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("study", "attempt", "state", "started (UTC)", "ended (UTC)", "exit"):
        table.add_column(name, overflow="fold")
    for job in found:
        table.add_row(
            job.study,
            str(job.attempt),
            job.status.lower(),
            (job.started or "-")[:16].replace("T", " "),
            (job.ended or "-")[:16].replace("T", " "),
            "-" if job.exit_status is None else str(job.exit_status),
        )
    Console().print(table)


def _below(path: Path | None) -> str | None:
    """Return a path relative to the folder that is sent, where the job finds it.

    Raises:
        InputError: it is not in this folder.
    """
    if path is None:
        return None
    place = absolute(path)
    if not place.is_relative_to(Path.cwd()) or not place.is_file():
        raise InputError(
            f"what a job reads must be a file in {Path.cwd()}, which is sent along, but got {path}"
        )
    return str(place.relative_to(Path.cwd()))
