"""`autodepth dashboard`: the studies in a browser."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import typer

from autodepth.cli.console import give, give_json, say
from autodepth.cli.options import Json


def dashboard(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any that is free.")
    ] = 8700,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="AUTODEPTH_DASHBOARD_TOKEN",
            show_envvar=False,
            help="What browsers have to show. Needed on an address other machines reach. Better "
            "in $AUTODEPTH_DASHBOARD_TOKEN: others on this machine see a command line.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show the studies of this folder in a browser, also while they run. It changes nothing.

    The front and every network on it, budget, hypervolume, branches, settings.

    Nothing is fetched from any other host. Ctrl-C ends it.

    Example: autodepth dashboard --port 8701
    """
    from autodepth.dashboard.server import serve
    from autodepth.records.studies import studies_root

    def told(url: str) -> None:
        tell_address(url, str(studies_root()), json=json)
        say(f"the studies of {studies_root()}; Ctrl-C ends it")

    serve(host, port, token, told)


def tell_address(url: str, studies: str, *, json: bool) -> None:
    """Print where a server listens, for people or as JSON.

    Args:
        url: with the token, where there is one.
        studies: folder of the studies it shows.
        json: which of both.
    """
    if json:
        give_json({"address": urlsplit(url).netloc, "url": url, "studies": studies}, in_a_line=True)
    else:
        give(url)
