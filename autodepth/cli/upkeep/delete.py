"""`autodepth delete`: a study for good."""

from __future__ import annotations

from typing import Annotated

import typer

from autodepth.cli.console import give_json, say
from autodepth.cli.options import Json, RunningStudy
from autodepth.errors import InputError


def delete(
    study: RunningStudy,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Delete a study with its weights and its ledger; what MLflow has of it stays there.

    Example: autodepth delete digits --yes
    """
    from autodepth.records.archive.delete import delete_study
    from autodepth.records.studies import find_study

    folder = find_study(study)
    if not yes and not typer.confirm(f"delete {folder.path} for good?", err=True):
        raise InputError(f"nothing was deleted: --yes deletes {folder.name} without asking")
    delete_study(folder)
    say(f"{folder.path} is deleted")
    if json:
        give_json({"study": folder.name, "deleted": True})
