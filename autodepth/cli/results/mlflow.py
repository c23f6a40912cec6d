"""`autodepth mlflow`: a study's charts in MLflow."""

from __future__ import annotations

import signal
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from autodepth.cli.console import give, give_json, say
from autodepth.cli.options import Json, Study, TrackingStore


def mlflow(
    study: Study = "latest",
    tracking_uri: TrackingStore = None,
    port: Annotated[
        int,
        typer.Option(min=0, max=65535, help="Port of the server to start; 0 for any that is free."),
    ] = 5000,
    open_it: Annotated[
        bool, typer.Option("--open", help="Open the page in this machine's browser.")
    ] = False,
    json: Json = False,
) -> None:
    """Show a study in MLflow: its front, and what else its trials came to.

    A server is started on the store beside the studies; Ctrl-C ends it. Where
    --tracking-uri names a server, that one's address is printed.

    Example: autodepth mlflow latest --open
    """
    from autodepth.service.publish.charts import charts_shown

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with charts_shown(study, tracking_uri=tracking_uri, port=port) as (charts, ended):
        give_json(asdict(charts), in_a_line=True) if json else give(charts.url)
        if open_it:
            import webbrowser

            webbrowser.open(charts.url)
        if ended is not None:
            say("Ctrl-C ends it")
            ended()
