"""`autodepth serve`: a queue of searches that people steer from a browser and over REST."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autodepth.cli.console import say
from autodepth.cli.options import Json, Notify, RayAddress, Storage, TrackingStore
from autodepth.cli.results.dashboard import tell_address


def serve(  # noqa: PLR0913, PLR0917 - an option each
    slots: Annotated[
        int, typer.Option(min=1, help="Studies at a time; each has its share of the machine.")
    ] = 1,
    tokens: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Who may what: TOML with a token, a role and perhaps an allowance for each name. "
            "Needed on an address other machines reach.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any that is free.")
    ] = 8700,
    root_path: Annotated[
        str, typer.Option(metavar="/PATH", help="Where a proxy shows this server, if below a path.")
    ] = "",
    name: Annotated[
        str | None,
        typer.Option(metavar="HOST", help="Under which name a proxy shows this server."),
    ] = None,
    ray_address: RayAddress = None,
    storage: Storage = None,
    tracking_uri: TrackingStore = None,
    notify: Notify = None,
    json: Json = False,
) -> None:
    """Own the studies of this folder: queue searches, start them in order, have them steered.

    Searches are queued and steered from the page, over REST (/api/v1) and by autodepth.client.
    Each is a process of its own that goes on when this one ends; started again, this one finds
    the queue, what runs and what died as they are, and goes on.

    Ctrl-C ends it. Without --tokens everybody on this machine may steer.

    Example: autodepth serve --slots 2
    """
    from autodepth.dashboard.server import serve as run
    from autodepth.records.studies import studies_root
    from autodepth.service.queue.carrying.commands import Place
    from autodepth.service.queue.owners import read_owners
    from autodepth.service.queue.queue import open_queue

    def told(url: str) -> None:
        tell_address(url, str(studies_root()), json=json)
        say(f"the queue of {studies_root()}; Ctrl-C ends the server, and what runs goes on")

    owners = () if tokens is None else read_owners(tokens)
    place = Place.of(
        studies_root(), ray_address=ray_address, storage=storage, tracking_uri=tracking_uri,
        notify=tuple(notify or ()),
    )  # fmt: skip
    with open_queue(place, owners, slots=slots) as steering:
        run(
            host, port, None, told, steering=steering, owners=owners, root_path=root_path, name=name
        )
