"""`autodepth register` and `push`: publish an exported network in MLflow or on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autodepth.cli.console import give, give_json
from autodepth.cli.options import Bundle, Json, OwnCode, TrackingStore

CHAMPION = "champion"

if TYPE_CHECKING:
    from autodepth.service.publish.register import Registered


def register(
    folder: Bundle,
    name: Annotated[
        str | None, typer.Option(help="Of the registered model; that of the study if left out.")
    ] = None,
    tracking_uri: TrackingStore = None,
    own_code: OwnCode = False,
    json: Json = False,
) -> None:
    """Put an exported network and its model card into MLflow's model registry.

    It gets the alias champion, and knee or smallest where it is that of its
    front. The other members of the front are listed on the Models page of the
    experiment. Registering the same files again moves nothing but aliases.

    Example: autodepth register exports/digits --name digits
    """
    from dataclasses import asdict

    from autodepth.service.publish.register import register_bundle

    found = register_bundle(folder, name=name, tracking_uri=tracking_uri, own_code=own_code)
    if json:
        give_json(asdict(found))
    else:
        print_registered(found)


def print_registered(found: Registered) -> None:
    """Print where a version is, and how the champion is served."""
    aliases = ", ".join(found.aliases) or "no alias"
    give(f"{found.folder}: version {found.version} of {found.name} in MLflow ({aliases})")
    if CHAMPION in found.aliases:
        uri = f"MLFLOW_TRACKING_URI={found.tracking_uri}"
        model = f"models:/{found.name}@{CHAMPION}"
        give(f"  serve it: {uri} \\\n    mlflow models serve -m {model} --env-manager local")


def push(
    folder: Bundle,
    place: Annotated[str, typer.Argument(metavar="hf://OWNER/NAME", help="Where on the hub.")],
    to: Annotated[
        Path | None,
        typer.Option(help="Write the repository into this new folder, and upload nothing."),
    ] = None,
    own_code: OwnCode = False,
    json: Json = False,
) -> None:
    """Put an exported network on the Hugging Face hub, or write what would be put there.

    Uploading needs huggingface_hub and its login; a repository that is not there
    is made, private. The files stay a bundle: autodepth.load checks them there.

    Example: autodepth push exports/digits hf://me/digits --to repository
    """
    from autodepth.service.publish.push import upload, write_repository

    address = None
    if to is None:
        address = upload(folder, place, own_code=own_code)
        line = f"{folder}: uploaded to {address}"
    else:
        write_repository(folder, place, to, own_code=own_code)
        line = f"{to}: {place} as a folder; nothing was uploaded"
    if json:
        repository = None if to is None else str(to)
        told = {"folder": str(folder), "place": place, "address": address, "repository": repository}
        give_json(told)
    else:
        give(line)
